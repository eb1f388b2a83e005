#include "hostdir/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

/* So many bytes between two looks at the signals. */
#define COPY_STEP (64u << 20)

struct runs {
	struct segment *items;
	size_t count;
	size_t capacity;
};

static void free_runs(struct runs *runs)
{
	free(runs->items);
}

static int start(struct spool *spool, struct error *err)
{
	if (spool->source != NULL)
		return 0;
	int fd = file_temporary(err);
	if (fd < 0)
		return fd;
	spool->source = tree_own_source(spool->tree, source_from_fd(fd, 0, "copied files"));
	return 0;
}

/* Copies bytes of the file to the spool's end, and notes where they are. */
static int copy_run(struct spool *spool, int fd, uint64_t from, uint64_t len, const char *path,
	struct runs *runs, struct error *err)
{
	uint64_t end;
	if (__builtin_add_overflow(spool->end, len, &end) || end > INT64_MAX)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"%s: with its %llu bytes the copied files are larger than a file can be",
			path, (unsigned long long)len);
	runs->items = array_grow(runs->items, runs->count, &runs->capacity, sizeof(*runs->items));
	runs->items[runs->count++] =
		(struct segment){.logical = from, .length = len, .offset = spool->end};
	while (len > 0) {
		uint64_t n = len < COPY_STEP ? len : COPY_STEP;
		int r = interrupt_check(err);
		if (r == 0)
			r = file_copy_range(fd, from, spool->source->fd, spool->end, n, path, err);
		if (r < 0 && err->kind == ERROR_OUTPUT)
			error_wrap(err, r, "copying to a temporary file in $TMPDIR or /var/tmp");
		if (r < 0)
			return r;
		from += n;
		spool->end += n;
		len -= n;
	}
	return 0;
}

/* Copies what is data in a file that may have holes. */
static int copy_runs(struct spool *spool, int fd, uint64_t size, const char *path,
	struct runs *runs, struct error *err)
{
	uint64_t at = 0;
	while (at < size) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0; /* a hole up to the end */
		off_t hole = data >= 0 ? lseek(fd, data, SEEK_HOLE) : -1;
		/* A file system that cannot tell holes has none. */
		uint64_t from = data >= 0 ? (uint64_t)data : at;
		uint64_t to = hole > data ? (uint64_t)hole : size;
		if (from >= size)
			return 0;
		if (to > size)
			to = size;
		int r = copy_run(spool, fd, from, to - from, path, runs, err);
		if (r < 0)
			return r;
		at = to;
	}
	return 0;
}

int spool_add(struct spool *spool, int fd, const char *path, struct inode *inode, struct error *err)
{
	__attribute__((cleanup(free_runs))) struct runs runs = {0};
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot examine", path);
	inode->size = (uint64_t)st.st_size;
	if (inode->size == 0)
		return 0;
	int r = start(spool, err);
	if (r < 0)
		return r;
	bool dense = (uint64_t)st.st_blocks >= inode->size / 512 + (inode->size % 512 != 0);
	r = dense ? copy_run(spool, fd, 0, inode->size, path, &runs, err)
		  : copy_runs(spool, fd, inode->size, path, &runs, err);
	if (r < 0)
		return r;
	if (runs.count > UINT32_MAX)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"%s: is in %zu pieces with holes between them", path, runs.count);
	inode->source = spool->source;
	if (runs.count == 0)
		return 0;
	struct segment *segments = tree_alloc(spool->tree, runs.count * sizeof(*segments));
	memcpy(segments, runs.items, runs.count * sizeof(*segments));
	inode->segments = segments;
	inode->segment_count = (uint32_t)runs.count;
	return 0;
}
