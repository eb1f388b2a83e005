/* JSON documents from outside: parsed within limits, read with their types checked. */
#ifndef LAYERVM_IMAGE_JSON_SAFE_H
#define LAYERVM_IMAGE_JSON_SAFE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "image/store.h"
#include "support/buffer.h"
#include "support/error.h"

/* Longest document, in bytes: 200 layers need some 100 KiB. Deepest nesting. */
#define JSON_SIZE_MAX ((size_t)8 << 20)
#define JSON_DEPTH_MAX 64

/* Most bytes of documents that are read of one store: a document may be named many times. */
#define JSON_READ_MAX ((uint64_t)256 << 20)

static inline void cleanup_json_fn(json_object **object)
{
	json_object_put(*object);
}
#define cleanup_json __attribute__((cleanup(cleanup_json_fn)))

/*
 * Parses a whole document that json_scan finds right. Errors are its, of ERROR_INPUT, and begin
 * with what. *out may be NULL: JSON's null.
 */
int json_parse(
	const void *data, size_t len, const char *what, json_object **out, struct error *err);

/*
 * Adds the extent's bytes to out, within JSON_SIZE_MAX; more than JSON_READ_MAX bytes in all calls
 * for a store are an ERROR_LIMIT. what: for messages.
 */
int json_read_extent(struct store *store, const struct extent *extent, const char *what,
	struct buffer *out, struct error *err);

/* Finds, reads and parses the document of that name, which must be of the type. */
int json_read_document(struct store *store, const char *name, json_type type, const char *what,
	json_object **out, struct error *err);

/*
 * The value of a key of an object. A missing one and null give *out NULL and 0; another type than
 * the one given is an error of that kind "WHAT: KEY: expected ..., found ...". Borrowed.
 */
int json_get(json_object *object, const char *key, json_type type, const char *what,
	enum error_kind kind, json_object **out, struct error *err);

/* As json_get with ERROR_INPUT, and a missing key or null is an error too. */
int json_need(json_object *object, const char *key, json_type type, const char *what,
	json_object **out, struct error *err);

/* Checks that a value is of a type, with the same error; key names it. */
int json_expect(json_object *value, json_type type, const char *what, const char *key,
	enum error_kind kind, struct error *err);

/* Checks that a value is a string without NUL bytes in it. */
int json_expect_text(json_object *value, const char *what, const char *key, enum error_kind kind,
	struct error *err);

/*
 * A copy whose objects have their keys in byte order at every level. Nesting beyond
 * JSON_DEPTH_MAX gives NULL and false.
 */
bool json_sorted(json_object *value, json_object **out);

/* Adds the document's bytes: no white space, '/' as it is. */
void json_put_text(json_object *value, struct buffer *out);

#endif
