/* Well-formed UTF-8 (RFC 3629): what JSON and pax headers are made of. */
#ifndef LAYERVM_SUPPORT_UTF8_H
#define LAYERVM_SUPPORT_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The most bytes of a character. */
#define UTF8_MAX 4

/* Bytes of the character at data, of which left (at least 1) are there; 0: it is none. */
size_t utf8_char_len(const void *data, size_t left);

/* Whether all of the bytes are whole characters. */
bool utf8_is_valid(const void *data, size_t len);

/* How many bytes at the end are the beginning of a character that the next ones may end. */
size_t utf8_unfinished(const void *data, size_t len);

#endif
