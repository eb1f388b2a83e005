#include "guestfs/helper/flatten.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "disk/disk.h"
#include "disk/disk_view.h"
#include "support/fileio.h"
#include "support/memory.h"

/* The part of the base that comes next after `at`, holes passed over; *end == *at: none. */
static int next_data(int base, uint64_t size, uint64_t *at, uint64_t *end, struct error *err)
{
	*end = *at;
	off_t data = lseek(base, (off_t)*at, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		return error_set_errno(err, ERROR_INPUT, "base disk");
	if (data < 0 || (uint64_t)data >= size)
		return 0;
	off_t hole = lseek(base, data, SEEK_HOLE);
	if (hole < 0)
		return error_set_errno(err, ERROR_INPUT, "base disk");
	*at = (uint64_t)data;
	*end = (uint64_t)hole < size ? (uint64_t)hole : size;
	return 0;
}

static int copy_base(int base, int to, uint64_t size, struct error *err)
{
	uint64_t at = 0;
	uint64_t end = 0;
	for (;;) {
		int r = next_data(base, size, &at, &end, err);
		if (r < 0 || end == at)
			return r;
		r = file_copy_range(base, at, to, at, end - at, "base disk", err);
		if (r < 0)
			return r;
		at = end;
	}
}

/* What the guest wrote, zeros too: they hide what the base has there. */
static int copy_written(const struct disk_view *view, int to, struct error *err)
{
	uint8_t data[DISK_BLOCK_SIZE];
	uint64_t size = disk_view_size(view);
	for (uint64_t block = 0; block < size / DISK_BLOCK_SIZE; block++) {
		if (!disk_view_holds(view, block))
			continue;
		uint64_t offset = block * DISK_BLOCK_SIZE;
		int r = disk_view_read(view, data, sizeof(data), offset, err);
		if (r == 0)
			r = file_write_at(to, data, sizeof(data), offset, "guest disk", err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void cleanup_view_fn(struct disk_view **view)
{
	struct source *source = *view != NULL ? disk_view_source(*view) : NULL;
	if (source != NULL)
		source->free(source);
}

int flatten(int base, int overlay, const char *path, struct error *err)
{
	__attribute__((cleanup(cleanup_view_fn))) struct disk_view *view = NULL;
	int r = disk_view_open(
		fcntl(base, F_DUPFD_CLOEXEC, 3), fcntl(overlay, F_DUPFD_CLOEXEC, 3), &view, err);
	if (r < 0)
		return r;
	uint64_t size = disk_view_size(view);
	cleanup_close int to = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0 || ftruncate(to, (off_t)size) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s", path);
	r = copy_base(base, to, size, err);
	return r < 0 ? r : copy_written(view, to, err);
}
