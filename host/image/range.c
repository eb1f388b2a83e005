#include "image/range.h"

#include <errno.h>

#include "support/fileio.h"
#include "support/interrupt.h"

int range_next(struct range *range, const uint8_t **data, size_t *len)
{
	uint64_t left = range->end - range->offset;
	size_t n = left < RANGE_CHUNK ? (size_t)left : RANGE_CHUNK;
	/* A drain that writes no file has a buffer at all times. */
	if (range->drain != NULL)
		range->buffer = drain_buffer(range->drain);
	range->result = interrupt_check(range->err);
	if (range->result == 0)
		range->result = file_read_at(
			range->fd, range->buffer, n, range->offset, range->name, range->err);
	if (range->result < 0)
		return range->result;
	if (range->drain != NULL)
		drain_push(range->drain, n);
	range->offset += n;
	*data = range->buffer;
	*len = n;
	return 0;
}

static la_ssize_t on_read(struct archive *archive, void *context, const void **buffer)
{
	struct range *range = context;
	const uint8_t *data = NULL;
	size_t len = 0;
	int r = range_next(range, &data, &len);
	*buffer = data;
	if (r == 0)
		return (la_ssize_t)len;
	archive_set_error(archive, EIO, "read failed");
	return -1;
}

/* Skips up to the end of the range, so that libarchive finds out about entries that pass it. */
static la_int64_t on_skip(struct archive *archive, void *data, la_int64_t request)
{
	(void)archive;
	struct range *range = data;
	if (range->drain != NULL || request <= 0)
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

int range_finish(struct range *range, struct digest *digest)
{
	const uint8_t *data;
	size_t len;
	uint64_t size;
	int r = 0;
	while (r == 0 && range->offset < range->end)
		r = range_next(range, &data, &len);
	return r < 0 ? r : drain_finish(range->drain, digest, &size, range->err);
}
