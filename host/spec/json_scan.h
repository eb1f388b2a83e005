/*
 * JSON text, checked before json-c sees it. json-c takes the last of two equal keys, cuts keys at
 * a NUL, turns half surrogates into U+FFFD and numbers that are too large into others: none of it
 * may happen to a build specification without a word.
 */
#ifndef LAYERVM_SPEC_JSON_SCAN_H
#define LAYERVM_SPEC_JSON_SCAN_H

#include <stddef.h>

#include "support/error.h"

/* Deepest nesting of objects and lists; a list in an object is 2. */
#define JSON_DEPTH_MAX 32

/* Longest number, in characters. */
#define JSON_NUMBER_MAX 128

/*
 * Checks that text is one JSON value by RFC 8259 in UTF-8, that it is an object or list (first:
 * '{' or '['), that no object has two equal keys, that no string holds U+0000 and that integers
 * fit 64 bits and other numbers a double. name: for messages. Returns 0 or an ERROR_SPEC
 * "name:line:column: what is wrong"; columns count characters.
 */
int json_scan(const char *text, size_t len, char first, const char *name, struct error *err);

#endif
