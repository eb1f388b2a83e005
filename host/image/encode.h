/*
 * Compressed formats: each turns bytes that come piece by piece into a stream, whose bytes depend
 * on nothing but what came and the version of the library that compresses, however it was cut into
 * pieces and however many threads there are.
 */
#ifndef LAYERVM_IMAGE_ENCODE_H
#define LAYERVM_IMAGE_ENCODE_H

#include <stddef.h>

#include "support/error.h"

/*
 * Most threads of one stream, so that it takes less than 48 MiB of memory: gzip has 3 MiB for each.
 * So many compress 1 GB/s with gzip. A format that needs more memory a thread, or fewer threads to
 * be so fast, starts fewer.
 */
#define ENCODE_THREADS_MAX 12u

/* Where a stream goes. Called by the thread that calls the functions below, in order. */
struct encode_out {
	int (*write)(void *context, const void *data, size_t len, struct error *err);
	void *context;
};

struct encode_format {
	/*
	 * Starts a stream, which up to that many threads work on, 1 to ENCODE_THREADS_MAX. out is
	 * copied.
	 */
	int (*open)(
		const struct encode_out *out, unsigned threads, void **state, struct error *err);
	/* After a failure there is nothing but close. */
	int (*write)(void *state, const void *data, size_t len, struct error *err);
	int (*finish)(void *state, struct error *err);
	void (*close)(void *state); /* ends the threads; writes nothing; NULL is allowed */
};

extern const struct encode_format encode_gzip;
extern const struct encode_format encode_zstd;

#endif
