/* A part of a file as libarchive reads it: by offset, so that threads can share a descriptor. */
#ifndef LAYERVM_IMAGE_RANGE_H
#define LAYERVM_IMAGE_RANGE_H

#include <archive.h>
#include <stdint.h>

#include "image/drain.h"
#include "support/error.h"

/* Bytes read at once, and how often a long read asks whether it was interrupted. */
#define RANGE_CHUNK DRAIN_CHUNK

struct range {
	int fd;
	uint64_t offset;     /* of the next byte to read */
	uint64_t end;        /* of the last one, and one more */
	const char *name;    /* for messages */
	struct drain *drain; /* hashes all that is read; NULL: parts may be skipped */
	struct error *err;   /* where a failed read leaves its words */
	int result;          /* 0, or the negative errno value of the failed read */
	uint8_t *buffer;     /* RANGE_CHUNK bytes, where there is no drain, which has its own */
};

/*
 * The next bytes of the range, at most RANGE_CHUNK, valid until the next call. *len is 0 at the
 * end. Returns 0 or the negative errno value, with words in range->err.
 */
int range_next(struct range *range, const uint8_t **data, size_t *len);

/*
 * Opens the range with an archive whose formats and filters are set already. The range outlives
 * the archive. Errors of libarchive itself are told by range_error.
 */
int range_open(struct range *range, struct archive *archive);

/*
 * The error after a call of libarchive failed: the range's own, or an ERROR_INPUT with
 * libarchive's words. Returns the negative errno value.
 */
int range_error(struct range *range, struct archive *archive);

/* Reads what nobody has read, for the drain, and gives the digest of all of the range. */
int range_finish(struct range *range, struct digest *digest);

static inline void cleanup_archive_read_fn(struct archive **archive)
{
	archive_read_free(*archive);
}
#define cleanup_archive_read __attribute__((cleanup(cleanup_archive_read_fn)))

#endif
