/*
 * Where bytes go that are read or inflated: hashed, and written to a file where there is one, by a
 * thread of its own while the next ones are made.
 */
#ifndef LAYERVM_IMAGE_DRAIN_H
#define LAYERVM_IMAGE_DRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "support/digest.h"
#include "support/error.h"
#include "support/pump.h"

/* Bytes of one buffer. */
#define DRAIN_CHUNK RING_CHUNK

struct drain;

/*
 * fd: stays the caller's; it is written from offset on, where it must have nothing. Zeros in whole
 * blocks become holes. -1: nothing is written.
 */
struct drain *drain_new(int fd, uint64_t offset) __attribute__((returns_nonnull));

/*
 * The next buffer to fill, of DRAIN_CHUNK bytes. Waits for one. What was pushed last can be read
 * until then. NULL: writing failed, and drain_finish tells how.
 */
void *drain_buffer(struct drain *drain);

/* Hands the last buffer on with len bytes in it. */
void drain_push(struct drain *drain, size_t len);

/*
 * Waits for the rest to be written. The file ends behind the last byte then. digest, size: of all
 * that was pushed. A full disk is an ERROR_OUTPUT.
 */
int drain_finish(struct drain *drain, struct digest *digest, uint64_t *size, struct error *err);

/* Ends the thread, whatever it is at. NULL is allowed. */
void drain_free(struct drain *drain);
static inline void cleanup_drain_fn(struct drain **drain)
{
	drain_free(*drain);
}
#define cleanup_drain __attribute__((cleanup(cleanup_drain_fn)))

#endif
