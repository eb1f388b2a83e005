#include "image/config_check.h"

#include <errno.h>
#include <string.h>

#include "image/json_safe.h"
#include "support/memory.h"

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
	int r = json_expect(config, json_type_object, what, "config", kind, err);
	if (r < 0)
		return r;
	json_object *env;
	r = json_get(config, "Env", json_type_array, what, kind, &env, err);
	if (r < 0)
		return r;
	if (env != NULL)
		r = check_strings(env, "Env", what, kind, err);
	if (r < 0)
		return r;
	json_object *labels;
	return json_get(config, "Labels", json_type_object, what, kind, &labels, err);
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
	/* null is how Go writes the empty list. */
	r = json_get(rootfs, "diff_ids", json_type_array, what, ERROR_INPUT, &ids, err);
	if (r < 0 || ids == NULL)
		return r;
	r = check_strings(ids, "rootfs.diff_ids", what, ERROR_INPUT, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(ids); i++) {
		struct digest digest;
		const char *text = json_object_get_string(json_object_array_get_idx(ids, i));
		if (!digest_parse(&digest, text))
			return error_set(err, ERROR_INPUT, EINVAL,
				"%s: rootfs.diff_ids: expected \"sha256:\" and 64 hexadecimal "
				"digits, found \"%s\"",
				what, text);
	}
	return 0;
}

int config_check_document(json_object *document, const char *what, struct error *err)
{
	int r = json_expect(document, json_type_object, what, "document", ERROR_INPUT, err);
	if (r < 0)
		return r;
	json_object *value;
	r = json_get(document, "os", json_type_string, what, ERROR_INPUT, &value, err);
	if (r < 0)
		return r;
	const char *os = json_object_get_string(value);
	if (os != NULL && *os != '\0' && strcmp(os, "linux") != 0)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: os: expected \"linux\", found \"%s\"", what, os);
	r = json_get(document, "architecture", json_type_string, what, ERROR_INPUT, &value, err);
	if (r < 0)
		return r;
	json_object *config;
	r = json_get(document, "config", json_type_object, what, ERROR_INPUT, &config, err);
	if (r == 0)
		r = config_check_part(config, what, ERROR_INPUT, err);
	if (r == 0)
		r = check_history(document, what, err);
	if (r == 0)
		r = check_diff_ids(document, what, err);
	return r;
}

struct digest *config_diff_ids(json_object *document, size_t *count)
{
	json_object *rootfs = NULL;
	json_object *ids = NULL;
	json_object_object_get_ex(document, "rootfs", &rootfs);
	json_object_object_get_ex(rootfs, "diff_ids", &ids);
	*count = ids != NULL ? json_object_array_length(ids) : 0;
	struct digest *digests = xcalloc(*count, sizeof(*digests));
	for (size_t i = 0; i < *count; i++)
		digest_parse(
			&digests[i], json_object_get_string(json_object_array_get_idx(ids, i)));
	return digests;
}
