/* The last bytes of a stream that nobody can stop: the guest's console, QEMU's own messages. */
#ifndef LAYERVM_VM_RING_H
#define LAYERVM_VM_RING_H

#include <stddef.h>
#include <stdint.h>

#define RING_SIZE 65536u

/* All zero is an empty ring. */
struct ring {
	char bytes[RING_SIZE];
	size_t start; /* of the oldest byte */
	size_t len;
};

/* Adds bytes; the oldest ones make room. */
void ring_add(struct ring *ring, const void *data, size_t len);

/*
 * The last lines as text, at most `lines` of them, each cut at 200 bytes: without empty lines,
 * carriage returns and escape sequences, other control bytes as '?'. The caller frees it.
 */
char *ring_tail(const struct ring *ring, size_t lines) __attribute__((returns_nonnull));

/*
 * The last line that holds `words`, from them to its end, cleaned as in ring_tail; NULL: there
 * is none. The caller frees it.
 */
char *ring_find(const struct ring *ring, const char *words);

#endif
