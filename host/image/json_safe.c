#include "image/json_safe.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "support/fileio.h"
#include "support/memory.h"

/* How a type is called in messages. */
static const char *type_name(json_type type)
{
	switch (type) {
	case json_type_null:
		return "null";
	case json_type_boolean:
		return "a boolean";
	case json_type_double:
	case json_type_int:
		return "a number";
	case json_type_object:
		return "an object";
	case json_type_array:
		return "an array";
	case json_type_string:
		return "a string";
	}
	return "something else";
}

/* What stands outside of strings in JSON text. */
struct text_scan {
	size_t colons;     /* each is a member of an object */
	size_t containers; /* objects and arrays */
	size_t stray;      /* where the first byte is that JSON does not have there, or the end:
			      json-c takes NaN, Infinity and strings in apostrophes */
};

static struct text_scan scan_text(const char *text, size_t len)
{
	static const char allowed[] = "{}[],:0123456789+-.Etruefalsn \t\r\n";
	struct text_scan scan = {.stray = len};
	bool in_string = false;
	for (size_t i = 0; i < len; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (in_string)
			continue;
		else if (memchr(allowed, text[i], sizeof(allowed) - 1) == NULL && scan.stray == len)
			scan.stray = i;
		else if (text[i] == ':')
			scan.colons++;
		else if (text[i] == '{' || text[i] == '[')
			scan.containers++;
	}
	return scan;
}

/* The members of all objects in a parsed document, which is at most JSON_DEPTH_MAX deep. */
static size_t count_members(json_object *value)
{
	size_t count = 0;
	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			count += count_members(json_object_array_get_idx(value, i));
	} else if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member)
		{
			(void)key;
			count += 1 + count_members(member);
		}
	}
	return count;
}

static void cleanup_tokener_fn(struct json_tokener **tokener)
{
	if (*tokener != NULL)
		json_tokener_free(*tokener);
}

int json_parse(const void *data, size_t len, const char *what, json_object **out, struct error *err)
{
	if (len > JSON_SIZE_MAX)
		return error_set(err, ERROR_INPUT, EFBIG,
			"%s: %zu bytes are more than the limit of %zu for a JSON document", what,
			len, JSON_SIZE_MAX);
	const struct text_scan scan = scan_text(data, len);
	if (scan.containers > JSON_CONTAINERS_MAX)
		return error_set(err, ERROR_INPUT, EFBIG,
			"%s: %zu objects and arrays are more than the limit of %u for a JSON "
			"document",
			what, scan.containers, JSON_CONTAINERS_MAX);
	struct json_tokener *tokener __attribute__((cleanup(cleanup_tokener_fn))) =
		json_tokener_new_ex(JSON_DEPTH_MAX);
	if (tokener == NULL)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "json-c is out of memory");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	/* A NUL tells the tokener that a number at the very end is complete. */
	cleanup_buffer struct buffer text = {0};
	buffer_add(&text, data, len);
	buffer_add(&text, "", 1);
	cleanup_json json_object *value =
		json_tokener_parse_ex(tokener, (const char *)text.data, (int)len + 1);
	enum json_tokener_error code = json_tokener_get_error(tokener);
	size_t end = json_tokener_get_parse_end(tokener);
	if (code == json_tokener_error_depth)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: JSON nested deeper than the limit of %d", what, JSON_DEPTH_MAX);
	if (code != json_tokener_success)
		return error_set(err, ERROR_INPUT, EINVAL, "%s: no valid JSON at byte %zu: %s",
			what, end, json_tokener_error_desc(code));
	if (scan.stray < len)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: no valid JSON at byte %zu: unexpected character", what, scan.stray);
	/* json-c keeps the last of duplicate keys; other readers may keep the first. */
	if (scan.colons != count_members(value))
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: an object of the JSON document has the same key twice", what);
	*out = steal_ptr(&value);
	return 0;
}

int json_read_member(const struct archive_index *index, const struct member *member,
	const char *what, struct buffer *out, struct error *err)
{
	if (member->size > JSON_SIZE_MAX)
		return error_set(err, ERROR_INPUT, EFBIG,
			"%s: %llu bytes are more than the limit of %zu for a JSON document", what,
			(unsigned long long)member->size, JSON_SIZE_MAX);
	size_t len = (size_t)member->size;
	void *to = buffer_reserve(out, len);
	int r = file_read_at(index->fd, to, len, member->offset, what, err);
	if (r == 0)
		out->len += len;
	return r;
}

int json_expect(json_object *value, json_type type, const char *what, const char *key,
	enum error_kind kind, struct error *err)
{
	if (json_object_is_type(value, type))
		return 0;
	return error_set(err, kind, EINVAL, "%s: %s: expected %s, found %s", what, key,
		type_name(type), type_name(json_object_get_type(value)));
}

int json_expect_text(json_object *value, const char *what, const char *key, enum error_kind kind,
	struct error *err)
{
	int r = json_expect(value, json_type_string, what, key, kind, err);
	if (r < 0)
		return r;
	if (strlen(json_object_get_string(value)) == (size_t)json_object_get_string_len(value))
		return 0;
	return error_set(err, kind, EINVAL, "%s: %s: a string has a NUL byte in it", what, key);
}

int json_get(json_object *object, const char *key, json_type type, const char *what,
	enum error_kind kind, json_object **out, struct error *err)
{
	*out = NULL;
	json_object *value = NULL;
	if (!json_object_object_get_ex(object, key, &value) || value == NULL)
		return 0;
	int r = type == json_type_string ? json_expect_text(value, what, key, kind, err)
					 : json_expect(value, type, what, key, kind, err);
	if (r == 0)
		*out = value;
	return r;
}

int json_need(json_object *object, const char *key, json_type type, const char *what,
	json_object **out, struct error *err)
{
	int r = json_get(object, key, type, what, ERROR_INPUT, out, err);
	if (r == 0 && *out == NULL)
		r = json_expect(NULL, type, what, key, ERROR_INPUT, err);
	return r;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool sort_value(json_object *value, unsigned depth, json_object **out);

static bool sort_object(json_object *value, unsigned depth, json_object **out)
{
	size_t count = (size_t)json_object_object_length(value);
	cleanup_free const char **keys = xcalloc(count, sizeof(*keys));
	size_t n = 0;
	json_object_object_foreach(value, key, unused)
	{
		(void)unused;
		keys[n++] = key;
	}
	qsort(keys, n, sizeof(*keys), by_bytes);
	*out = json_object_new_object();
	for (size_t i = 0; i < n; i++) {
		json_object *member;
		if (!sort_value(json_object_object_get(value, keys[i]), depth, &member))
			return false;
		json_object_object_add(*out, keys[i], member);
	}
	return true;
}

static bool sort_array(json_object *value, unsigned depth, json_object **out)
{
	size_t count = json_object_array_length(value);
	*out = json_object_new_array();
	for (size_t i = 0; i < count; i++) {
		json_object *element;
		if (!sort_value(json_object_array_get_idx(value, i), depth, &element))
			return false;
		json_object_array_add(*out, element);
	}
	return true;
}

static bool sort_value(json_object *value, unsigned depth, json_object **out)
{
	*out = NULL;
	if (depth == 0)
		return false;
	bool ok = true;
	cleanup_json json_object *copy = NULL;
	if (json_object_is_type(value, json_type_object))
		ok = sort_object(value, depth - 1, &copy);
	else if (json_object_is_type(value, json_type_array))
		ok = sort_array(value, depth - 1, &copy);
	else
		copy = json_object_get(value);
	if (ok)
		*out = steal_ptr(&copy);
	return ok;
}

bool json_sorted(json_object *value, json_object **out)
{
	return sort_value(value, JSON_DEPTH_MAX, out);
}

void json_put_text(json_object *value, struct buffer *out)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	buffer_add(out, text, len);
}
