/*
 * A writer of consecutive bytes of a disk: small pieces are gathered into large writes, long
 * stretches of a source are copied straight from file to file. Knows nothing of ext4.
 */
#ifndef LAYERVM_DISK_ASSEMBLE_WRITER_H
#define LAYERVM_DISK_ASSEMBLE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "support/error.h"
#include "tree/source.h"

/* What writer_room can give at once, at most. */
#define WRITER_ROOM_MAX (256u << 10)

struct disk_writer {
	int fd;
	uint64_t flushed; /* where on the disk the gathered bytes begin */
	uint8_t *gathered;
	size_t len;
};

/* Starts to write at an offset of fd, which stays the caller's. Free it with writer_free. */
void writer_init(struct disk_writer *w, int fd, uint64_t offset);
void writer_free(struct disk_writer *w);
#define cleanup_writer __attribute__((cleanup(writer_free)))

/* Where on the disk the next byte goes. */
static inline uint64_t writer_offset(const struct disk_writer *w)
{
	return w->flushed + w->len;
}

/* The len bytes at offset, where the writer holds all of them still; else NULL. */
static inline uint8_t *writer_held(const struct disk_writer *w, uint64_t offset, size_t len)
{
	if (offset < w->flushed || len > w->len || offset - w->flushed > w->len - len)
		return NULL;
	return w->gathered + (offset - w->flushed);
}

/* *room: len zeroed bytes that come next, to be filled in before the next call. */
int writer_room(struct disk_writer *w, size_t len, void **room, struct error *err);

/*
 * Writes len bytes at offset of a source, by its descriptor where it has one. Looks for an
 * interruption between pieces of large copies.
 */
int writer_copy(struct disk_writer *w, struct source *source, uint64_t offset, uint64_t len,
	struct error *err);

/* Passes over len bytes, which stay a hole. */
int writer_skip(struct disk_writer *w, uint64_t len, struct error *err);

/* Hands everything that was gathered to the kernel. */
int writer_flush(struct disk_writer *w, struct error *err);

#endif
