#include "spec/attributes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "spec/config.h"
#include "spec/extras_json.h"
#include "spec/json_text.h"
#include "spec/nearest.h"
#include "support/memory.h"

#define WORD "a string that is not empty"
#define PATH "a path (a string that is not empty)"
#define PATHS "a path or a list of paths (strings that are not empty)"

/* Where attributes are taken to and what they are relative to. */
struct taker {
	struct build_spec *spec;
	const char *name;
	const char *folder;
	struct report *report;
	struct error *err;
};

/* An attribute: its name, how its value gets into the spec, and where. */
struct attribute {
	const char *name;
	int (*take)(
		const struct taker *taker, const struct attribute *attribute, json_object *value);
	size_t offset; /* of the member of struct build_spec */
	const char *wanted;
	uint32_t min, max; /* of numbers */
};

static void *member(const struct taker *taker, const struct attribute *attribute)
{
	return (char *)taker->spec + attribute->offset;
}

static int unfit(const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	cleanup_free char *found = json_text_describe(value);
	if (attribute->max != 0)
		return error_set(taker->err, ERROR_SPEC, EINVAL,
			"%s: %s: is %s, %s from %u to %u is wanted", taker->name, attribute->name,
			found, attribute->wanted, attribute->min, attribute->max);
	return error_set(taker->err, ERROR_SPEC, EINVAL, "%s: %s: is %s, %s is wanted", taker->name,
		attribute->name, found, attribute->wanted);
}

/* A text that may be empty. */
static int take_text(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	char **to = member(taker, attribute);
	if (!json_object_is_type(value, json_type_string))
		return unfit(taker, attribute, value);
	free(*to);
	*to = xstrdup(json_object_get_string(value));
	return 0;
}

static int take_word(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	if (json_object_get_string_len(value) == 0)
		return unfit(taker, attribute, value);
	return take_text(taker, attribute, value);
}

/* A path of the spec, as the program opens it. */
static char *resolve(const struct taker *taker, const char *path)
{
	size_t len = strlen(taker->folder);
	if (path[0] != '/' && len != 0)
		return xasprintf(
			"%s%s%s", taker->folder, taker->folder[len - 1] == '/' ? "" : "/", path);
	/* "-" is a file's name in a spec, and standard input in the program. */
	return strcmp(path, "-") == 0 ? xstrdup("./-") : xstrdup(path);
}

static int take_path(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	char **to = member(taker, attribute);
	if (!json_object_is_type(value, json_type_string) || json_object_get_string_len(value) == 0)
		return unfit(taker, attribute, value);
	free(*to);
	*to = resolve(taker, json_object_get_string(value));
	return 0;
}

static int add_copy(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	if (!json_object_is_type(value, json_type_string) || json_object_get_string_len(value) == 0)
		return unfit(taker, attribute, value);
	cleanup_free char *path = resolve(taker, json_object_get_string(value));
	spec_add_copy(taker->spec, path);
	return 0;
}

static int take_copies(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	spec_clear_copies(taker->spec);
	if (!json_object_is_type(value, json_type_array))
		return add_copy(taker, attribute, value);
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		char name[64];
		struct attribute entry = {.name = name, .wanted = PATH};
		snprintf(name, sizeof(name), "%s: entry %zu", attribute->name, i + 1);
		int r = add_copy(taker, &entry, json_object_array_get_idx(value, i));
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_deprecated_copies(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	report_warning(taker->report, "%s: contents: is deprecated, use copyToRoot", taker->name);
	return take_copies(taker, attribute, value);
}

static int take_bool(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	bool *to = member(taker, attribute);
	if (!json_object_is_type(value, json_type_boolean))
		return unfit(taker, attribute, value);
	*to = json_object_get_boolean(value);
	return 0;
}

static int take_number(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	uint32_t *to = member(taker, attribute);
	if (!json_object_is_type(value, json_type_int))
		return unfit(taker, attribute, value);
	/* Values over INT64_MAX come out as that, which is out of every range. */
	int64_t number = json_object_get_int64(value);
	if (number < attribute->min || number > attribute->max)
		return unfit(taker, attribute, value);
	*to = (uint32_t)number;
	return 0;
}

static int take_created(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	if (!json_object_is_type(value, json_type_string) ||
		!spec_set_created(taker->spec, json_object_get_string(value)))
		return unfit(taker, attribute, value);
	return 0;
}

static int take_config(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	if (!json_object_is_type(value, json_type_object))
		return unfit(taker, attribute, value);
	cleanup_free char *where = xasprintf("%s: config", taker->name);
	int r = config_check(value, where, taker->report, taker->err);
	if (r < 0)
		return r;
	config_drop_nulls(value);
	json_object_put(taker->spec->config);
	taker->spec->config = json_object_get(value);
	return 0;
}

static char *resolve_extra(const void *context, const char *path)
{
	return resolve(context, path);
}

/* The error of an attribute that has entries of its own. */
static int wrap(const struct taker *taker, const struct attribute *attribute, int r)
{
	return r < 0 ? error_wrap(taker->err, r, "%s: %s", taker->name, attribute->name) : 0;
}

static int take_mounts(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	const struct extras_paths paths = {.resolve = resolve_extra, .context = taker};
	return wrap(taker, attribute,
		extras_take_mounts(&taker->spec->extras, value, &paths, taker->err));
}

static int take_secrets(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	const struct extras_paths paths = {.resolve = resolve_extra, .context = taker};
	return wrap(taker, attribute,
		extras_take_secrets(&taker->spec->extras, value, &paths, taker->err));
}

static int take_network(
	const struct taker *taker, const struct attribute *attribute, json_object *value)
{
	return wrap(taker, attribute, extras_take_network(&taker->spec->extras, value, taker->err));
}

#define AT(field) offsetof(struct build_spec, field)

static const struct attribute attributes[] = {
	{"name", take_word, AT(name), WORD, 0, 0},
	{"tag", take_word, AT(tag), WORD " or null", 0, 0},
	{"fromImage", take_path, AT(from_image), PATH " or null", 0, 0},
	{"fromImageName", take_word, AT(from_image_name), WORD " or null", 0, 0},
	{"fromImageTag", take_word, AT(from_image_tag), WORD " or null", 0, 0},
	{"copyToRoot", take_copies, 0, PATHS " or null", 0, 0},
	{"contents", take_deprecated_copies, 0, PATHS " or null", 0, 0},
	{"keepContentsDirlinks", take_bool, AT(keep_contents_dirlinks), "true or false", 0, 0},
	{"keepContentsModes", take_bool, AT(keep_contents_modes), "true or false", 0, 0},
	{"runAsRoot", take_text, AT(run_as_root), "a script (a string) or null", 0, 0},
	{"extraCommands", take_text, AT(extra_commands), "a script (a string)", 0, 0},
	{"config", take_config, 0, "an object or null", 0, 0},
	{"architecture", take_word, AT(architecture), WORD, 0, 0},
	{"diskSize", take_number, AT(disk_size), "a whole number of MiB", SPEC_DISK_SIZE_MIN,
		SPEC_DISK_SIZE_MAX},
	{"buildVMMemorySize", take_number, AT(memory_size), "a whole number of MiB",
		SPEC_MEMORY_SIZE_MIN, SPEC_MEMORY_SIZE_MAX},
	{"created", take_created, 0,
		"\"now\" or an ISO 8601 time with its zone from 1970 on, such as "
		"\"2024-05-01T12:00:00Z\" or \"2024-05-01\",",
		0, 0},
	{"uid", take_number, AT(uid), "a whole number", 0, SPEC_ID_MAX},
	{"gid", take_number, AT(gid), "a whole number", 0, SPEC_ID_MAX},
	{"mounts", take_mounts, 0, "a list of objects", 0, 0},
	{"secrets", take_secrets, 0, "a list of objects", 0, 0},
	{"network", take_network, 0, "\"none\" or \"user\"", 0, 0},
};

#define ATTRIBUTE_COUNT (sizeof(attributes) / sizeof(attributes[0]))

static int unknown_attribute(const struct taker *taker, const char *key)
{
	struct nearest nearest = nearest_start(key);
	for (size_t i = 0; i < ATTRIBUTE_COUNT; i++)
		nearest_try(&nearest, attributes[i].name);
	cleanup_free char *quoted = json_text_quote(key);
	if (nearest.best != NULL)
		return error_set(taker->err, ERROR_SPEC, EINVAL,
			"%s: %s is no attribute of buildImage; did you mean \"%s\"?", taker->name,
			quoted, nearest.best);
	return error_set(taker->err, ERROR_SPEC, EINVAL,
		"%s: %s is no attribute of buildImage (layervm-spec(5) lists them)", taker->name,
		quoted);
}

static const struct attribute *find_attribute(const char *key)
{
	for (size_t i = 0; i < ATTRIBUTE_COUNT; i++) {
		if (strcmp(attributes[i].name, key) == 0)
			return &attributes[i];
	}
	return NULL;
}

static bool is_given(json_object *object, const char *key)
{
	json_object *value;
	return json_object_object_get_ex(object, key, &value) && value != NULL;
}

int attributes_take(json_object *object, const char *name, const char *folder,
	struct build_spec *spec, struct report *report, struct error *err)
{
	const struct taker taker = {
		.spec = spec, .name = name, .folder = folder, .report = report, .err = err};
	if (is_given(object, "contents") && is_given(object, "copyToRoot"))
		return error_set(err, ERROR_SPEC, EINVAL,
			"%s: contents: is the deprecated name of copyToRoot, and both are given",
			name);
	json_object_object_foreach(object, key, value)
	{
		const struct attribute *attribute = find_attribute(key);
		if (attribute == NULL)
			return unknown_attribute(&taker, key);
		int r = value == NULL ? 0 : attribute->take(&taker, attribute, value);
		if (r < 0)
			return r;
	}
	return 0;
}
