#include "image/range.h"

#include <errno.h>

#include "support/fileio.h"
#include "support/interrupt.h"

/* Reads the next bytes of the range into its buffer. Returns their number, or -1. */
static la_ssize_t read_next(struct range *range)
{
	uint64_t left = range->end - range->offset;
	size_t n = left < RANGE_CHUNK ? (size_t)left : RANGE_CHUNK;
	range->result = interrupt_check(range->err);
	if (range->result == 0)
		range->result = file_read_at(
			range->fd, range->buffer, n, range->offset, range->name, range->err);
	if (range->result < 0)
		return -1;
	if (range->hasher != NULL)
		hasher_add(range->hasher, range->buffer, n);
	range->offset += n;
	return (la_ssize_t)n;
}

static la_ssize_t on_read(struct archive *archive, void *data, const void **buffer)
{
	struct range *range = data;
	la_ssize_t n = read_next(range);
	if (n < 0)
		archive_set_error(archive, EIO, "read failed");
	*buffer = range->buffer;
	return n;
}

/* Skips up to the end of the range, so that libarchive finds out about entries that pass it. */
static la_int64_t on_skip(struct archive *archive, void *data, la_int64_t request)
{
	(void)archive;
	struct range *range = data;
	if (range->hasher != NULL || request <= 0)
		return 0;
	uint64_t left = range->end - range->offset;
	uint64_t n = (uint64_t)request < left ? (uint64_t)request : left;
	range->offset += n;
	return (la_int64_t)n;
}

int range_open(struct range *range, struct archive *archive)
{
	archive_read_set_read_callback(archive, on_read);
	archive_read_set_skip_callback(archive, on_skip);
	archive_read_set_callback_data(archive, range);
	return archive_read_open1(archive);
}

int range_error(struct range *range, struct archive *archive)
{
	if (range->result < 0)
		return range->result;
	const char *text = archive_error_string(archive);
	return error_set(range->err, ERROR_INPUT, EINVAL, "%s: %s", range->name,
		text != NULL ? text : "cannot be read");
}

int range_drain(struct range *range)
{
	while (range->offset < range->end) {
		if (read_next(range) < 0)
			return range->result;
	}
	return 0;
}
