/* JSON text to json-c objects, and json-c objects in words. */
#ifndef LAYERVM_SPEC_JSON_TEXT_H
#define LAYERVM_SPEC_JSON_TEXT_H

#include <json-c/json.h>
#include <stddef.h>

#include "support/error.h"

/* Deepest nesting of objects and lists; a list in an object is 2. */
#define JSON_TEXT_DEPTH_MAX 32

static inline void cleanup_json_fn(json_object **object)
{
	json_object_put(*object);
}
#define cleanup_json __attribute__((cleanup(cleanup_json_fn)))

/*
 * Parses text that json_scan finds right. type: json_type_object or json_type_array. The caller
 * owns *out. Errors are ERROR_SPEC and begin with name and, where there is one, the place.
 */
int json_text_parse(const char *text, size_t len, json_type type, const char *name,
	json_object **out, struct error *err);

/* What a value is, for "... is a string (\"2G\")": kind and text, cut where it is long. The
 * caller frees it. */
char *json_text_describe(json_object *value) __attribute__((returns_nonnull));

/* Text in quotes, control characters escaped, cut where it is long. The caller frees it. */
char *json_text_quote(const char *text) __attribute__((returns_nonnull));

#endif
