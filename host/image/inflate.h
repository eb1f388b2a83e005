/* Compressed bytes of a file, recognised by how they begin, and inflated into another file. */
#ifndef LAYERVM_IMAGE_INFLATE_H
#define LAYERVM_IMAGE_INFLATE_H

#include <stdint.h>

#include "support/digest.h"
#include "support/error.h"

enum compression {
	COMPRESSION_NONE,
	COMPRESSION_GZIP,
	COMPRESSION_ZSTD,
	COMPRESSION_XZ,
	COMPRESSION_BZIP2,
};

/* What inflating may give before it is taken for a compression bomb. */
struct inflate_limit {
	uint64_t always; /* bytes that are allowed for any input */
	uint64_t ratio;  /* bytes for each compressed byte, where that is more */
	uint64_t never;  /* bytes that are not allowed for any input */
};

/*
 * The limit for images. gzip cannot pass 1032:1; zstd and xz pass it for zeros only, and a layer
 * may hold a sparse file of some GiB.
 */
extern const struct inflate_limit inflate_image_limit;

/* The compression of the size bytes at offset. A tar's magic goes before those of compressors. */
int inflate_detect(int fd, uint64_t offset, uint64_t size, const char *name,
	enum compression *compression, struct error *err);

struct inflate_job {
	int from; /* the compressed bytes: size of them, at offset */
	uint64_t offset, size;
	enum compression compression;
	const char *name; /* for messages */
	int to;           /* inflated bytes are written here, from to_offset on */
	uint64_t to_offset;
	const struct inflate_limit *limit;
	/* Given back. */
	struct digest digest;   /* of the compressed bytes */
	struct digest inflated; /* of the inflated ones */
	uint64_t inflated_size;
};

/*
 * Inflates. Zeros in whole blocks become holes of `to`, which must have nothing at or after
 * to_offset and ends behind the last byte then. Damage is an ERROR_INPUT, a passed limit an
 * ERROR_LIMIT that says the limit.
 */
int inflate_run(struct inflate_job *job, struct error *err);

#endif
