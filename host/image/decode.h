/*
 * Compressed formats: each turns a range of compressed bytes into plain ones, piece by piece,
 * inside this process. What follows the end of one compressed piece is the next one (members of
 * gzip, frames of zstd, streams of xz). Padding of zeros may follow it where the format or its
 * usual program has that; anything else is damage.
 */
#ifndef LAYERVM_IMAGE_DECODE_H
#define LAYERVM_IMAGE_DECODE_H

#include <stddef.h>

#include "image/range.h"

struct decode_format {
	const char *name;
	/* Starts to decode the range, which outlives the state. */
	int (*open)(const struct decode_format *format, struct range *range, void **state);
	/*
	 * Fills data with size bytes, or with fewer at the end; *len is 0 behind it. Damaged and
	 * truncated input is an ERROR_INPUT in range->err; what needs too much memory an
	 * ERROR_LIMIT, which says how much.
	 */
	int (*read)(void *state, void *data, size_t size, size_t *len);
	void (*close)(void *state); /* NULL is allowed */
};

extern const struct decode_format decode_gzip;
extern const struct decode_format decode_zstd;
extern const struct decode_format decode_xz;
extern const struct decode_format decode_bzip2;

#endif
