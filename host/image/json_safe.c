#include "image/json_safe.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "support/fileio.h"
#include "support/json_scan.h"
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

static void cleanup_tokener_fn(struct json_tokener **tokener)
{
	if (*tokener != NULL)
		json_tokener_free(*tokener);
}

int json_parse(const void *data, size_t len, const char *what, json_object **out, struct error *err)
{
	const struct json_rules rules = {
		.name = what,
		.kind = ERROR_INPUT,
		.size_max = JSON_SIZE_MAX,
		.depth_max = JSON_DEPTH_MAX,
	};
	int r = json_scan(data, len, &rules, err);
	if (r < 0)
		return r;
	/* json-c counts a scalar within the innermost array as a level of its own. */
	struct json_tokener *tokener __attribute__((cleanup(cleanup_tokener_fn))) =
		json_tokener_new_ex(JSON_DEPTH_MAX + 1);
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
	if (code != json_tokener_success)
		return error_set(err, ERROR_INPUT, EINVAL, "%s: %s, at byte %zu", what,
			json_tokener_error_desc(code), json_tokener_get_parse_end(tokener));
	*out = steal_ptr(&value);
	return 0;
}

int json_read_extent(struct store *store, const struct extent *extent, const char *what,
	struct buffer *out, struct error *err)
{
	if (extent->size > JSON_SIZE_MAX)
		return error_set(err, ERROR_INPUT, EFBIG,
			"%s: %llu bytes are more than the limit of %zu for a JSON document", what,
			(unsigned long long)extent->size, JSON_SIZE_MAX);
	size_t len = (size_t)extent->size;
	store->document_bytes += len;
	if (store->document_bytes > JSON_READ_MAX)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"%s: its documents come to more than the limit of %llu bytes", store->path,
			(unsigned long long)JSON_READ_MAX);
	void *to = buffer_reserve(out, len);
	int r = file_read_at(extent->fd, to, len, extent->offset, what, err);
	if (r == 0)
		out->len += len;
	return r;
}

int json_read_document(struct store *store, const char *name, json_type type, const char *what,
	json_object **out, struct error *err)
{
	struct extent extent;
	cleanup_buffer struct buffer text = {0};
	cleanup_json json_object *document = NULL;
	int r = store_find(store, name, &extent, err);
	if (r == 0)
		r = json_read_extent(store, &extent, what, &text, err);
	if (r == 0)
		r = json_parse(text.data, text.len, what, &document, err);
	if (r == 0)
		r = json_expect(document, type, what, "document", ERROR_INPUT, err);
	if (r == 0)
		*out = steal_ptr(&document);
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
	/* Scalars within the innermost object are a level of their own. */
	return sort_value(value, JSON_DEPTH_MAX + 1, out);
}

void json_put_text(json_object *value, struct buffer *out)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	buffer_add(out, text, len);
}
