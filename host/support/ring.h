/*
 * Bytes on their way from one thread to another: buffers in turn, filled by the maker and handed
 * on to the taker, so that one goes on while the other waits for the disk.
 */
#ifndef LAYERVM_SUPPORT_RING_H
#define LAYERVM_SUPPORT_RING_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of one buffer. */
#define RING_CHUNK (256u << 10)

struct ring;

struct ring *ring_new(void) __attribute__((returns_nonnull));

/*
 * The maker's: the next buffer to fill, of RING_CHUNK bytes; waits for one. Bytes that were pushed
 * stand, for the maker to read, until this is called again. NULL: the taker has stopped.
 */
void *ring_buffer(struct ring *ring);

/* Hands the last buffer on with len bytes in it. */
void ring_push(struct ring *ring, size_t len);

/* No more is pushed. Once more is allowed. */
void ring_close(struct ring *ring);

/* How many buffers were pushed and not yet given back. */
size_t ring_waiting(struct ring *ring);

/*
 * The taker's: the bytes that come next, until it gives them back by ring_release; waits for them.
 * NULL: there are no more.
 */
const uint8_t *ring_next(struct ring *ring, size_t *len);
void ring_release(struct ring *ring);

/* Nothing more is taken: the maker is not to wait. */
void ring_stop(struct ring *ring);

/* Neither thread is at it any more. NULL is allowed. */
void ring_free(struct ring *ring);

#endif
