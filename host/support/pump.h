/*
 * A thread that does something with bytes, piece by piece, while the next ones are made: hashes
 * them, writes them.
 */
#ifndef LAYERVM_SUPPORT_PUMP_H
#define LAYERVM_SUPPORT_PUMP_H

#include <stddef.h>
#include <stdint.h>

#include "support/error.h"
#include "support/ring.h"

struct pump;

/*
 * take: what is done with each piece, in order, by one thread at a time, which is another than
 * the maker's where there can be one. After a failure it is not called again. What it works on is
 * the maker's again after pump_finish or pump_free.
 */
struct pump *pump_new(
	int (*take)(void *context, const uint8_t *data, size_t len, struct error *err),
	void *context) __attribute__((returns_nonnull));

/*
 * The next buffer to fill, of RING_CHUNK bytes (ring.h). Waits for one. What was pushed last can be
 * read until then. NULL: take failed, and pump_finish tells how.
 */
void *pump_buffer(struct pump *pump);

/* Hands the last buffer on with len bytes in it. */
void pump_push(struct pump *pump, size_t len);

/* Waits until all that was pushed is taken. Returns what take has failed with. */
int pump_finish(struct pump *pump, struct error *err);

/* Ends the thread, which first takes what was pushed. NULL is allowed. */
void pump_free(struct pump *pump);
static inline void cleanup_pump_fn(struct pump **pump)
{
	pump_free(*pump);
}
#define cleanup_pump __attribute__((cleanup(cleanup_pump_fn)))

#endif
