#include "disk/disk_view.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "disk/disk.h"
#include "disk/overlay.h"
#include "support/fileio.h"
#include "support/memory.h"

struct disk_view {
	struct source source;
	struct overlay *overlay;
	int base_fd;
	int overlay_fd;
	uint64_t base_size;
};

static int source_read(
	struct source *source, void *data, size_t len, uint64_t offset, struct error *err)
{
	return disk_view_read((const struct disk_view *)source, data, len, offset, err);
}

static void source_free(struct source *source)
{
	struct disk_view *view = (struct disk_view *)source;
	overlay_free(view->overlay);
	if (view->base_fd >= 0)
		close(view->base_fd);
	if (view->overlay_fd >= 0)
		close(view->overlay_fd);
	free(view);
}

static void cleanup_view_fn(struct disk_view **view)
{
	if (*view != NULL)
		source_free(&(*view)->source);
}

int disk_view_open(int base, int overlay, struct disk_view **out, struct error *err)
{
	__attribute__((cleanup(cleanup_view_fn))) struct disk_view *view = xmalloc(sizeof(*view));
	*view = (struct disk_view){
		.source = {.read = source_read, .free = source_free, .fd = -1},
		.base_fd = base,
		.overlay_fd = overlay,
	};
	struct stat st;
	if (view->base_fd < 0 || view->overlay_fd < 0 || fstat(view->base_fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "base disk and overlay: cannot open");
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INPUT, EINVAL, "base disk: is no regular file");
	view->base_size = (uint64_t)st.st_size;
	int r = overlay_open(view->overlay_fd, &view->overlay, err);
	if (r < 0)
		return r;
	*out = steal_ptr(&view);
	return 0;
}

struct source *disk_view_source(struct disk_view *view)
{
	return &view->source;
}

uint64_t disk_view_size(const struct disk_view *view)
{
	return overlay_size(view->overlay);
}

bool disk_view_holds(const struct disk_view *view, uint64_t block)
{
	return overlay_holds(view->overlay, block);
}

int disk_view_read_base(
	const struct disk_view *view, void *data, size_t len, uint64_t offset, struct error *err)
{
	uint64_t left = offset < view->base_size ? view->base_size - offset : 0;
	size_t present = len < left ? len : (size_t)left;
	memset((char *)data + present, 0, len - present);
	return file_read_at(view->base_fd, data, present, offset, "base disk", err);
}

/*
 * How many bytes from offset, at most len, lie in one piece: all in the base, all zeros, or one
 * after another in the overlay's file. *at: where in the overlay's file they begin.
 */
static size_t run_length(const struct disk_view *view, uint64_t offset, size_t len,
	enum overlay_place *place, uint64_t *at)
{
	uint64_t block = offset / DISK_BLOCK_SIZE;
	size_t skip = (size_t)(offset % DISK_BLOCK_SIZE);
	uint64_t first = 0;
	*place = overlay_lookup(view->overlay, block, &first);
	*at = first + skip;
	size_t run = DISK_BLOCK_SIZE - skip;
	for (uint64_t n = 1; run < len; n++, run += DISK_BLOCK_SIZE) {
		uint64_t next = 0;
		if (overlay_lookup(view->overlay, block + n, &next) != *place)
			break;
		if (*place == OVERLAY_DATA && next != first + n * DISK_BLOCK_SIZE)
			break;
	}
	return run < len ? run : len;
}

int disk_view_read(
	const struct disk_view *view, void *data, size_t len, uint64_t offset, struct error *err)
{
	uint64_t size = overlay_size(view->overlay);
	if (offset > size || len > size - offset)
		return error_set(err, ERROR_INTERNAL, EINVAL,
			"guest disk: a read of %zu bytes at %llu, past its end at %llu", len,
			(unsigned long long)offset, (unsigned long long)size);
	char *to = data;
	while (len > 0) {
		enum overlay_place place;
		uint64_t at;
		size_t run = run_length(view, offset, len, &place, &at);
		int r = 0;
		if (place == OVERLAY_DATA)
			r = overlay_read(view->overlay, to, run, at, err);
		else if (place == OVERLAY_BASE)
			r = disk_view_read_base(view, to, run, offset, err);
		else
			memset(to, 0, run);
		if (r < 0)
			return r;
		to += run;
		offset += run;
		len -= run;
	}
	return 0;
}
