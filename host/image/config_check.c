#include "image/config_check.h"

#include <errno.h>
#include <string.h>

#include "image/json_safe.h"
#include "support/digest.h"

static int check_strings(json_object *array, const char *key, const char *what,
	enum error_kind kind, struct error *err)
{
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		int r = json_expect_text(json_object_array_get_idx(array, i), what, key, kind, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int config_check_part(
	json_object *config, const char *what, enum error_kind kind, struct error *err)
{
	if (config == NULL)
		return 0;
	static const struct {
		const char *key;
		json_type type;
	} keys[] = {
		{"Env", json_type_array},
		{"OnBuild", json_type_array},
		{"ExposedPorts", json_type_object},
		{"Labels", json_type_object},
		{"Volumes", json_type_object},
	};
	int r = json_expect(config, json_type_object, what, "config", kind, err);
	for (size_t i = 0; r == 0 && i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_object *value = NULL;
		r = json_get(config, keys[i].key, keys[i].type, what, kind, &value, err);
		if (r == 0 && value != NULL && keys[i].type == json_type_array)
			r = check_strings(value, keys[i].key, what, kind, err);
	}
	return r;
}

static int check_history(json_object *document, const char *what, struct error *err)
{
	json_object *history;
	int r = json_get(document, "history", json_type_array, what, ERROR_INPUT, &history, err);
	if (r < 0 || history == NULL)
		return r;
	for (size_t i = 0; i < json_object_array_length(history); i++) {
		json_object *entry = json_object_array_get_idx(history, i);
		r = json_expect(entry, json_type_object, what, "history", ERROR_INPUT, err);
		if (r < 0)
			return r;
		json_object *empty;
		r = json_get(
			entry, "empty_layer", json_type_boolean, what, ERROR_INPUT, &empty, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_diff_ids(json_object *document, const char *what, struct error *err)
{
	json_object *rootfs;
	json_object *ids;
	int r = json_need(document, "rootfs", json_type_object, what, &rootfs, err);
	if (r < 0)
		return r;
	/* A new type would have layers that are put together otherwise (config.md). */
	json_object *type;
	r = json_get(rootfs, "type", json_type_string, what, ERROR_INPUT, &type, err);
	if (r == 0 && type != NULL && strcmp(json_object_get_string(type), "layers") != 0)
		r = error_set(err, ERROR_INPUT, ENOTSUP,
			"%s: rootfs.type: expected \"layers\", found \"%s\"", what,
			json_object_get_string(type));
	if (r < 0)
		return r;
	/* null is how Go writes the empty list. */
	r = json_get(rootfs, "diff_ids", json_type_array, what, ERROR_INPUT, &ids, err);
	if (r < 0 || ids == NULL)
		return r;
	r = check_strings(ids, "rootfs.diff_ids", what, ERROR_INPUT, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < json_object_array_length(ids); i++) {
		struct digest digest;
		const char *text = json_object_get_string(json_object_array_get_idx(ids, i));
		r = digest_read(&digest, text, what, "rootfs.diff_ids", err);
	}
	return r;
}

int config_check_legacy(json_object *document, const char *what, struct error *err)
{
	static const char *const platform[] = {"os", "architecture", "variant"};
	json_object *value;
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(platform) / sizeof(platform[0]); i++)
		r = json_get(
			document, platform[i], json_type_string, what, ERROR_INPUT, &value, err);
	if (r == 0)
		r = json_get(document, "config", json_type_object, what, ERROR_INPUT, &value, err);
	if (r == 0)
		r = config_check_part(value, what, ERROR_INPUT, err);
	if (r == 0)
		r = check_history(document, what, err);
	return r;
}

int config_check_document(json_object *document, const char *what, struct error *err)
{
	int r = json_expect(document, json_type_object, what, "document", ERROR_INPUT, err);
	if (r == 0)
		r = config_check_legacy(document, what, err);
	return r == 0 ? check_diff_ids(document, what, err) : r;
}
