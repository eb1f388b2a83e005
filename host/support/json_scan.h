/*
 * JSON text, checked before json-c sees it. json-c takes the last of two equal keys, cuts keys at
 * a NUL, turns half surrogates into U+FFFD, numbers that are too large into others and takes NaN
 * and strings in apostrophes: none of it may happen to a document from outside without a word.
 */
#ifndef LAYERVM_SUPPORT_JSON_SCAN_H
#define LAYERVM_SUPPORT_JSON_SCAN_H

#include <stddef.h>

#include "support/error.h"

/* Longest number, in characters. */
#define JSON_NUMBER_MAX 128

/* Most objects and lists in a document: json-c takes some 750 bytes for an empty one. */
#define JSON_CONTAINERS_MAX 100000

struct json_rules {
	const char *name;     /* of the document, for messages */
	enum error_kind kind; /* of errors */
	char first;           /* '{' or '[': what the document must be; 0: any value */
	size_t size_max;      /* in bytes */
	unsigned depth_max;   /* nesting of objects and lists; a list in an object is 2 */
};

/*
 * Checks that text is one JSON value by RFC 8259 in UTF-8, that it keeps the rules, that no object
 * has two equal keys, that no string holds U+0000 and that integers fit 64 bits and other numbers
 * a double. Returns 0 or an error "name:line:column: what is wrong"; columns count characters.
 */
int json_scan(const char *text, size_t len, const struct json_rules *rules, struct error *err);

#endif
