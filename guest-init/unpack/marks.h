/*
 * What is known of names while one layer is unpacked. A whiteout takes away what lower layers
 * gave, never what its own layer gives, so the layer's own names are remembered: a directory by
 * its inode number, another name by its directory's inode number and itself.
 *
 * Marks are never taken back. A number or a name that is used again while the layer is unpacked
 * is used by the layer, so that a mark that was left behind is true of it as well.
 */
#ifndef GUEST_INIT_UNPACK_MARKS_H
#define GUEST_INIT_UNPACK_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MARK_FRESH = 1,  /* given by this layer, or above such a name */
	MARK_OPAQUE = 2, /* nothing in or below the directory is of lower layers */
};

struct mark;

struct marks {
	struct mark **buckets;
	size_t bucket_count; /* a power of two, or 0 */
	size_t count;
	uint64_t key;
};

/* Adds a mark. name: "" for the directory ino itself. */
void marks_add(struct marks *marks, uint64_t ino, const char *name, uint8_t mark);

/* Whether there is such a mark. */
bool marks_have(const struct marks *marks, uint64_t ino, const char *name, uint8_t mark);

/* Forgets all marks and frees what they took. */
void marks_clear(struct marks *marks);

#endif
