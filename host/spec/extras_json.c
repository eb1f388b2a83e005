#include "spec/extras_json.h"

#include <errno.h>
#include <string.h>

#include "spec/json_text.h"
#include "spec/nearest.h"
#include "support/memory.h"

/* What the keys of one entry are taken to. */
struct entry {
	const struct extras_paths *paths;
	struct guest_mount mount;
	struct guest_secret secret;
};

struct key {
	const char *name;
	int (*take)(struct entry *entry, json_object *value, struct error *err);
};

static int unfit(json_object *value, const char *wanted, struct error *err)
{
	cleanup_free char *found = json_text_describe(value);
	return error_set(err, ERROR_SPEC, EINVAL, "is %s, %s is wanted", found, wanted);
}

static int take_text(char **to, json_object *value, struct error *err)
{
	if (!json_object_is_type(value, json_type_string) || json_object_get_string_len(value) == 0)
		return unfit(value, "a string that is not empty", err);
	free(*to);
	*to = xstrdup(json_object_get_string(value));
	return 0;
}

static int take_path(struct entry *entry, char **to, json_object *value, struct error *err)
{
	cleanup_free char *path = NULL;
	int r = take_text(&path, value, err);
	if (r < 0)
		return r;
	free(*to);
	*to = entry->paths->resolve(entry->paths->context, path);
	return 0;
}

/* It was taken before the other keys, which depend on it. */
static int pass_over(struct entry *entry, json_object *value, struct error *err)
{
	(void)entry;
	(void)value;
	(void)err;
	return 0;
}

static int take_mount_src(struct entry *entry, json_object *value, struct error *err)
{
	return take_path(entry, &entry->mount.src, value, err);
}

static int take_mount_id(struct entry *entry, json_object *value, struct error *err)
{
	return take_text(&entry->mount.id, value, err);
}

static int take_dst(struct entry *entry, json_object *value, struct error *err)
{
	return take_text(&entry->mount.dst, value, err);
}

static int take_rw(struct entry *entry, json_object *value, struct error *err)
{
	if (!json_object_is_type(value, json_type_boolean))
		return unfit(value, "true or false", err);
	entry->mount.read_only = !json_object_get_boolean(value);
	return 0;
}

static int take_size(struct entry *entry, json_object *value, struct error *err)
{
	int64_t size = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
	if (size < GUEST_TMPFS_MIN || size > GUEST_TMPFS_MAX)
		return unfit(value, "a whole number of MiB from 1 to 1048576", err);
	entry->mount.size_mib = (uint32_t)size;
	return 0;
}

static int take_secret_id(struct entry *entry, json_object *value, struct error *err)
{
	return take_text(&entry->secret.id, value, err);
}

static int take_secret_src(struct entry *entry, json_object *value, struct error *err)
{
	return take_path(entry, &entry->secret.src, value, err);
}

static int take_secret_env(struct entry *entry, json_object *value, struct error *err)
{
	return take_text(&entry->secret.env, value, err);
}

static const struct key mount_keys[] = {{"type", pass_over}, {"src", take_mount_src},
	{"dst", take_dst}, {"id", take_mount_id}, {"rw", take_rw}, {"size", take_size}, {0}};

static const struct key secret_keys[] = {
	{"id", take_secret_id}, {"src", take_secret_src}, {"env", take_secret_env}, {0}};

static int unknown_key(const struct key *keys, const char *name, struct error *err)
{
	struct nearest nearest = nearest_start(name);
	for (const struct key *key = keys; key->name != NULL; key++)
		nearest_try(&nearest, key->name);
	cleanup_free char *quoted = json_text_quote(name);
	if (nearest.best != NULL)
		return error_set(err, ERROR_SPEC, EINVAL,
			"%s is no key of it; did you mean \"%s\"?", quoted, nearest.best);
	return error_set(
		err, ERROR_SPEC, EINVAL, "%s is no key of it (layervm-spec(5) lists them)", quoted);
}

/* Takes the keys of an object, those that are null left out. */
static int take_keys(
	struct entry *entry, const struct key *keys, json_object *object, struct error *err)
{
	json_object_object_foreach(object, name, value)
	{
		const struct key *key = keys;
		while (key->name != NULL && strcmp(key->name, name) != 0)
			key++;
		if (key->name == NULL)
			return unknown_key(keys, name, err);
		int r = value == NULL ? 0 : key->take(entry, value, err);
		if (r < 0)
			return error_wrap(err, r, "%s", name);
	}
	return 0;
}

static int take_mount(struct guest_extras_spec *extras, struct entry *entry, json_object *object,
	struct error *err)
{
	json_object *type = NULL;
	if (!json_object_object_get_ex(object, "type", &type) ||
		!json_object_is_type(type, json_type_string))
		return error_set(err, ERROR_SPEC, EINVAL,
			"type: \"bind\", \"cache\" or \"tmpfs\" is wanted");
	int r = guest_mount_type_parse(json_object_get_string(type), &entry->mount.type, err);
	if (r < 0)
		return r;
	entry->mount.read_only = entry->mount.type == GUEST_MOUNT_BIND;
	r = take_keys(entry, mount_keys, object, err);
	return r < 0 ? r : extras_add_mount(extras, &entry->mount, err);
}

static int take_secret(struct guest_extras_spec *extras, struct entry *entry, json_object *object,
	struct error *err)
{
	int r = take_keys(entry, secret_keys, object, err);
	return r < 0 ? r : extras_add_secret(extras, &entry->secret, err);
}

/* Takes each object of a list. */
static int take_list(struct guest_extras_spec *extras, json_object *list,
	const struct extras_paths *paths,
	int (*take)(struct guest_extras_spec *extras, struct entry *entry, json_object *object,
		struct error *err),
	struct error *err)
{
	if (!json_object_is_type(list, json_type_array))
		return unfit(list, "a list of objects", err);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *object = json_object_array_get_idx(list, i);
		struct entry entry = {.paths = paths};
		int r = json_object_is_type(object, json_type_object)
				? take(extras, &entry, object, err)
				: unfit(object, "an object", err);
		guest_mount_free(&entry.mount);
		guest_secret_free(&entry.secret);
		if (r < 0)
			return error_wrap(err, r, "entry %zu", i + 1);
	}
	return 0;
}

int extras_take_mounts(struct guest_extras_spec *extras, json_object *value,
	const struct extras_paths *paths, struct error *err)
{
	return take_list(extras, value, paths, take_mount, err);
}

int extras_take_secrets(struct guest_extras_spec *extras, json_object *value,
	const struct extras_paths *paths, struct error *err)
{
	return take_list(extras, value, paths, take_secret, err);
}

int extras_take_network(struct guest_extras_spec *extras, json_object *value, struct error *err)
{
	if (!json_object_is_type(value, json_type_string))
		return unfit(value, "\"none\" or \"user\"", err);
	return extras_set_network(extras, json_object_get_string(value), err);
}
