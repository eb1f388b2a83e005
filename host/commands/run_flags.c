#include "commands/run_flags.h"

#include <errno.h>
#include <string.h>

#include "commands/flag_values.h"
#include "spec/json_text.h"
#include "support/buffer.h"
#include "support/memory.h"

/* A field of a line: "KEY=VALUE" or "KEY". */
struct field {
	char *key;
	char *value; /* in key; NULL: there was none */
};

/*
 * Cuts the first field off a line of CSV (RFC 4180). *at: the rest of the line, NULL once the last
 * field was cut off. field->key: the caller's to free; unchanged on failure.
 */
static int cut_field(const char **at, struct field *field, struct error *err)
{
	const char *p = *at;
	cleanup_buffer struct buffer text = {0};
	if (*p == '"') {
		for (p++; *p != '\0' && (*p != '"' || p[1] == '"'); p++) {
			buffer_add(&text, p, 1);
			p += *p == '"';
		}
		if (*p != '"' || (p[1] != ',' && p[1] != '\0'))
			return error_set(err, ERROR_USAGE, EINVAL,
				"a quote is not closed at the end of its field");
		p++;
	} else {
		size_t len = strcspn(p, ",");
		if (memchr(p, '"', len) != NULL)
			return error_set(err, ERROR_USAGE, EINVAL,
				"a quote is in the middle of a field; quote the whole field");
		buffer_add(&text, p, len);
		p += len;
	}
	*at = *p == ',' ? p + 1 : NULL;
	field->key = buffer_steal_text(&text);
	field->value = strchr(field->key, '=');
	if (field->value != NULL)
		*field->value++ = '\0';
	return 0;
}

static int unknown_field(const struct field *field, const char *known, struct error *err)
{
	cleanup_free char *quoted = json_text_quote(field->key);
	return error_set(
		err, ERROR_USAGE, EINVAL, "%s is no key of it; there are %s", quoted, known);
}

/* Sets a text once. */
static int take_text(char **to, const struct field *field, struct error *err)
{
	if (*to != NULL)
		return error_set(err, ERROR_USAGE, EINVAL, "%s: is given twice", field->key);
	if (field->value == NULL || *field->value == '\0')
		return error_set(err, ERROR_USAGE, EINVAL, "%s: is empty", field->key);
	*to = xstrdup(field->value);
	return 0;
}

/* true, false, 1 or 0; a key alone is true. */
static int take_bool(bool *to, const struct field *field, struct error *err)
{
	static const char *const words[] = {"true", "false", "1", "0"};
	size_t index = 0;
	int r = field->value == NULL ? 0 : value_choice(field->value, words, 4, &index, err);
	*to = index % 2 == 0;
	return r < 0 ? error_wrap(err, r, "%s", field->key) : 0;
}

/* What is known of a mount while its fields are read. */
struct reading {
	struct guest_mount mount;
	bool has_type;
	bool access_given;
};

static int take_type(struct reading *reading, const struct field *field, struct error *err)
{
	reading->has_type = true;
	return guest_mount_type_parse(
		field->value != NULL ? field->value : "", &reading->mount.type, err);
}

static int take_src(struct reading *reading, const struct field *field, struct error *err)
{
	return take_text(&reading->mount.src, field, err);
}

static int take_dst(struct reading *reading, const struct field *field, struct error *err)
{
	return take_text(&reading->mount.dst, field, err);
}

static int take_id(struct reading *reading, const struct field *field, struct error *err)
{
	return take_text(&reading->mount.id, field, err);
}

static int take_access(
	struct reading *reading, const struct field *field, bool means_read_only, struct error *err)
{
	bool yes;
	int r = take_bool(&yes, field, err);
	if (r == 0 && reading->access_given && reading->mount.read_only != (yes == means_read_only))
		return error_set(err, ERROR_USAGE, EINVAL,
			"%s: says something else than another field", field->key);
	reading->access_given = true;
	reading->mount.read_only = yes == means_read_only;
	return r;
}

static int take_ro(struct reading *reading, const struct field *field, struct error *err)
{
	return take_access(reading, field, true, err);
}

static int take_rw(struct reading *reading, const struct field *field, struct error *err)
{
	return take_access(reading, field, false, err);
}

static int take_size(struct reading *reading, const struct field *field, struct error *err)
{
	uint64_t size = 0;
	int r = value_mebibytes(field->value != NULL ? field->value : "", GUEST_TMPFS_MIN,
		GUEST_TMPFS_MAX, &size, err);
	reading->mount.size_mib = (uint32_t)size;
	return r < 0 ? error_wrap(err, r, "%s", field->key) : 0;
}

static const struct {
	const char *name;
	int (*take)(struct reading *reading, const struct field *field, struct error *err);
} mount_fields[] = {
	{"type", take_type},
	{"src", take_src},
	{"source", take_src},
	{"dst", take_dst},
	{"destination", take_dst},
	{"target", take_dst},
	{"id", take_id},
	{"ro", take_ro},
	{"readonly", take_ro},
	{"rw", take_rw},
	{"readwrite", take_rw},
	{"size", take_size},
};

static int take_mount_field(struct reading *reading, const struct field *field, struct error *err)
{
	for (size_t i = 0; i < sizeof(mount_fields) / sizeof(mount_fields[0]); i++) {
		if (strcmp(field->key, mount_fields[i].name) == 0)
			return mount_fields[i].take(reading, field, err);
	}
	return unknown_field(field, "type, src, dst, id, rw, ro and size", err);
}

static int read_mount(struct reading *reading, const char *value, struct error *err)
{
	int r = 0;
	while (r == 0 && value != NULL) {
		struct field field = {0};
		r = cut_field(&value, &field, err);
		if (field.key != NULL)
			r = take_mount_field(reading, &field, err);
		free(field.key);
	}
	if (r == 0 && !reading->has_type)
		return error_set(err, ERROR_USAGE, EINVAL,
			"type: is missing; type=bind, type=cache or type=tmpfs is wanted");
	return r;
}

int run_flag_mount(void *extras, const char *value, struct error *err)
{
	struct reading reading = {0};
	int r = read_mount(&reading, value, err);
	if (!reading.access_given)
		reading.mount.read_only = reading.mount.type == GUEST_MOUNT_BIND;
	if (r == 0)
		return extras_add_mount(extras, &reading.mount, err);
	guest_mount_free(&reading.mount);
	return r;
}

static int take_secret_field(
	struct guest_secret *secret, const struct field *field, struct error *err)
{
	if (strcmp(field->key, "id") == 0)
		return take_text(&secret->id, field, err);
	if (strcmp(field->key, "src") == 0 || strcmp(field->key, "source") == 0)
		return take_text(&secret->src, field, err);
	if (strcmp(field->key, "env") == 0)
		return take_text(&secret->env, field, err);
	return unknown_field(field, "id, src and env", err);
}

int run_flag_secret(void *extras, const char *value, struct error *err)
{
	cleanup_guest_secret struct guest_secret secret = {0};
	int r = 0;
	while (r == 0 && value != NULL) {
		struct field field = {0};
		r = cut_field(&value, &field, err);
		if (field.key != NULL)
			r = take_secret_field(&secret, &field, err);
		free(field.key);
	}
	return r < 0 ? r : extras_add_secret(extras, &secret, err);
}

int run_flag_network(void *extras, const char *value, struct error *err)
{
	return extras_set_network(extras, value, err);
}

int run_flag_add_host(void *extras, const char *value, struct error *err)
{
	return extras_add_host(extras, value, err);
}
