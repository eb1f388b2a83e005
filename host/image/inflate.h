/* Compressed bytes of a file, recognised by how they begin, and inflated into another file. */
#ifndef LAYERVM_IMAGE_INFLATE_H
#define LAYERVM_IMAGE_INFLATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "image/decode.h"
#include "support/digest.h"
#include "support/error.h"

/*
 * What all of an image may inflate to before it is taken for a compression bomb. Threads share it,
 * so its message names the image and no layer: which one passes the limit is left to chance.
 */
struct inflate_budget {
	unsigned references; /* of inflate_budget_share */
	const char *name;    /* of the image's archive or folder */
	uint64_t compressed; /* bytes, all that is inflated on it */
	uint64_t limit;      /* bytes */
	_Atomic uint64_t used;
};

/*
 * The budget for so many compressed bytes: 1100 times as many, at least 8 GiB, at most 1 TiB. gzip
 * cannot pass 1032:1; zstd and xz pass it for zeros only, and an image may hold a sparse file of
 * some GiB. name: borrowed.
 */
struct inflate_budget inflate_budget(const char *name, uint64_t compressed);

/*
 * Such a budget for several who hold it, as it is then; it has one reference. Another one, and one
 * less (NULL is allowed): by one thread, though all may spend from it.
 */
struct inflate_budget *inflate_budget_share(struct inflate_budget budget)
	__attribute__((returns_nonnull));
struct inflate_budget *inflate_budget_ref(struct inflate_budget *budget);
void inflate_budget_unref(struct inflate_budget *budget);

/*
 * How the size bytes at offset are compressed; *format is NULL where they are not. A tar's magic
 * goes before those of compressors.
 */
int inflate_detect(int fd, uint64_t offset, uint64_t size, const char *name,
	const struct decode_format **format, struct error *err);

struct inflate_job {
	int from; /* the compressed bytes: size of them, at offset */
	uint64_t offset, size;
	const struct decode_format *format;
	const char *name;              /* for messages */
	struct inflate_budget *budget; /* NULL: who takes the bytes has a limit of his own */
	const _Atomic bool *abandoned; /* set: nobody wants the result; NULL: never */
	bool is_known;                 /* the compressed bytes are not hashed: no digest */
	/* Given back. */
	struct digest digest;   /* of the compressed bytes */
	struct digest inflated; /* of the inflated ones */
	uint64_t inflated_size; /* after a failure, as far as it came */
};

/* Where inflated bytes go. */
struct inflate_sink {
	/* The next DRAIN_CHUNK bytes to fill; NULL: no more is wanted. */
	void *(*buffer)(struct inflate_sink *sink);
	/* Takes what the buffer was filled with. */
	void (*push)(struct inflate_sink *sink, size_t len);
};

/*
 * Inflates into the sink, and gives job->digest and inflated_size. Damage is an ERROR_INPUT, a
 * spent budget and data that needs too much memory an ERROR_LIMIT that says the limit. Where the
 * sink wants no more, it returns 0 without the digest. A job that was abandoned fails soon, with no
 * word for anybody.
 */
int inflate_into(struct inflate_job *job, struct inflate_sink *sink, struct error *err);

/*
 * Inflates into a file, and gives all of the digests. Zeros in whole blocks become holes of `to`,
 * which must have nothing at or after to_offset and ends behind the last byte then. to: -1: nothing
 * is written. Errors as of inflate_into; a full disk is an ERROR_OUTPUT.
 */
int inflate_run(struct inflate_job *job, int to, uint64_t to_offset, struct error *err);

#endif
