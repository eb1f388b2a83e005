/* Bytes that can be read at any position: a layer, a file of the host, a disk. */
#ifndef LAYERVM_TREE_SOURCE_H
#define LAYERVM_TREE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

struct source {
	/* Reads exactly len bytes at offset, or fails with a message that names the source. */
	int (*read)(
		struct source *source, void *data, size_t len, uint64_t offset, struct error *err);
	/* Frees the source and closes what it holds. */
	void (*free)(struct source *source);
	/*
	 * A descriptor that gives the same bytes at the same offsets plus `base`, for
	 * copy_file_range; -1 where there is none. Belongs to the source.
	 */
	int fd;
	uint64_t base;
};

/*
 * A part of a file: offset 0 of the source is byte `base` of fd. The source takes fd over and
 * closes it. name: for messages; copied.
 */
struct source *source_from_fd(int fd, uint64_t base, const char *name)
	__attribute__((returns_nonnull));

/* A copy of bytes in memory, such as the script. */
struct source *source_from_bytes(const void *data, size_t len) __attribute__((returns_nonnull));

#endif
