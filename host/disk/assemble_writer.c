#include "disk/assemble_writer.h"

#include <string.h>

#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

/* Up to this much goes through memory: one read for each, but one write for many. */
#define GATHER_MAX (64u << 10)
/* How much is copied between two looks for an interruption. */
#define COPY_MAX (64u << 20)

void writer_init(struct disk_writer *w, int fd, uint64_t offset)
{
	*w = (struct disk_writer){.fd = fd, .flushed = offset};
	w->gathered = xmalloc(WRITER_ROOM_MAX);
}

void writer_free(struct disk_writer *w)
{
	free(w->gathered);
	w->gathered = NULL;
}

int writer_flush(struct disk_writer *w, struct error *err)
{
	int r = file_write_at(w->fd, w->gathered, w->len, w->flushed, "the guest's disk", err);
	if (r < 0)
		return r;
	w->flushed += w->len;
	w->len = 0;
	return 0;
}

/* As writer_room, with whatever bytes were there before. */
static int make_room(struct disk_writer *w, size_t len, uint8_t **room, struct error *err)
{
	if (len > WRITER_ROOM_MAX - w->len) {
		int r = writer_flush(w, err);
		if (r < 0)
			return r;
	}
	*room = w->gathered + w->len;
	w->len += len;
	return 0;
}

int writer_room(struct disk_writer *w, size_t len, void **room, struct error *err)
{
	uint8_t *bytes;
	int r = make_room(w, len, &bytes, err);
	if (r < 0)
		return r;
	memset(bytes, 0, len);
	*room = bytes;
	return 0;
}

static int gather(struct disk_writer *w, struct source *source, uint64_t offset, size_t len,
	struct error *err)
{
	uint8_t *bytes;
	int r = make_room(w, len, &bytes, err);
	if (r < 0)
		return r;
	return source->read(source, bytes, len, offset, err);
}

int writer_copy(struct disk_writer *w, struct source *source, uint64_t offset, uint64_t len,
	struct error *err)
{
	while (len > GATHER_MAX) {
		uint64_t n = source->fd < 0 ? GATHER_MAX : len < COPY_MAX ? len : COPY_MAX;
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		if (source->fd < 0) {
			r = gather(w, source, offset, (size_t)n, err);
		} else {
			r = writer_flush(w, err);
			if (r == 0)
				r = file_copy_range(source->fd, source->base + offset, w->fd,
					w->flushed, n, "data for the guest's disk", err);
			if (r == 0)
				w->flushed += n;
		}
		if (r < 0)
			return r;
		offset += n;
		len -= n;
	}
	return gather(w, source, offset, (size_t)len, err);
}

int writer_skip(struct disk_writer *w, uint64_t len, struct error *err)
{
	int r = writer_flush(w, err);
	if (r < 0)
		return r;
	w->flushed += len;
	return 0;
}
