#include "image/sink.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

/* Bytes that are read at once, and those that are copied between two questions for a signal. */
#define READ_CHUNK (256u << 10)
#define COPY_CHUNK (8u << 20)

/* The disk is given so many bytes at once, so that it works while the rest is made. */
#define WRITEBACK_CHUNK (8u << 20)

#define OUTPUT_NAME "the output"

struct sink {
	int fd;
	bool can_seek;
	uint64_t position;       /* of fd, where it can seek */
	uint64_t given;          /* up to where the disk was told to begin */
	struct archive *archive; /* the compressor; NULL: none */
	struct error *err;       /* where a write by libarchive leaves its words */
	int result;
};

/* Bytes were written at the position. */
static void advance(struct sink *sink, uint64_t len)
{
	sink->position += len;
	if (sink->position - sink->given < WRITEBACK_CHUNK)
		return;
	/* A hint: what goes wrong here, fsync tells. */
	sync_file_range(sink->fd, (off_t)sink->given, (off_t)(sink->position - sink->given),
		SYNC_FILE_RANGE_WRITE);
	sink->given = sink->position;
}

static int write_plain(struct sink *sink, const void *data, size_t len, struct error *err)
{
	if (!sink->can_seek)
		return file_write(sink->fd, data, len, OUTPUT_NAME, err);
	int r = file_write_at(sink->fd, data, len, sink->position, OUTPUT_NAME, err);
	if (r == 0)
		advance(sink, len);
	return r;
}

static la_ssize_t on_write(struct archive *archive, void *data, const void *bytes, size_t len)
{
	struct sink *sink = data;
	if (sink->result == 0)
		sink->result = write_plain(sink, bytes, len, sink->err);
	if (sink->result == 0)
		return (la_ssize_t)len;
	archive_set_error(archive, EIO, "write failed");
	return -1;
}

/* The error after a call of libarchive failed. */
static int sink_error(struct sink *sink, struct error *err)
{
	if (sink->result < 0)
		return sink->result;
	const char *text = archive_error_string(sink->archive);
	return error_set(err, ERROR_OUTPUT, EIO, OUTPUT_NAME ": cannot compress: %s",
		text != NULL ? text : "no reason given");
}

/* A compressed stream without name, time and padding, so that its bytes depend on nothing else. */
static int start_compression(
	struct sink *sink, enum image_compression compression, struct error *err)
{
	sink->err = err;
	sink->archive = archive_write_new();
	if (sink->archive == NULL)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "libarchive is out of memory");
	int r = archive_write_set_format_raw(sink->archive);
	if (r == ARCHIVE_OK && compression == IMAGE_GZIP) {
		r = archive_write_add_filter_gzip(sink->archive);
		if (r == ARCHIVE_OK)
			r = archive_write_set_filter_option(
				sink->archive, "gzip", "timestamp", NULL);
	} else if (r == ARCHIVE_OK) {
		r = archive_write_add_filter_zstd(sink->archive);
	}
	/* ARCHIVE_WARN stands for an external program, which is never run. */
	if (r != ARCHIVE_OK ||
		archive_write_set_bytes_in_last_block(sink->archive, 1) != ARCHIVE_OK ||
		archive_write_open(sink->archive, sink, NULL, on_write, NULL) != ARCHIVE_OK)
		return sink_error(sink, err);
	struct archive_entry *entry = archive_entry_new();
	if (entry == NULL)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "libarchive is out of memory");
	archive_entry_set_filetype(entry, S_IFREG);
	r = archive_write_header(sink->archive, entry);
	archive_entry_free(entry);
	return r == ARCHIVE_OK ? 0 : sink_error(sink, err);
}

int sink_open(int fd, enum image_compression compression, struct sink **out, struct error *err)
{
	cleanup_sink struct sink *sink = xcalloc(1, sizeof(*sink));
	sink->fd = fd;
	off_t position = lseek(fd, 0, SEEK_CUR);
	sink->can_seek = position >= 0;
	sink->position = sink->can_seek ? (uint64_t)position : 0;
	sink->given = sink->position;
	if (compression != IMAGE_PLAIN) {
		int r = start_compression(sink, compression, err);
		if (r < 0)
			return r;
	}
	*out = steal_ptr(&sink);
	return 0;
}

int sink_write(struct sink *sink, const void *data, size_t len, struct error *err)
{
	if (sink->archive == NULL)
		return write_plain(sink, data, len, err);
	sink->err = err;
	la_ssize_t n = archive_write_data(sink->archive, data, len);
	return n >= 0 && (size_t)n == len ? 0 : sink_error(sink, err);
}

int sink_copy(struct sink *sink, int from, uint64_t offset, uint64_t len, const char *name,
	struct error *err)
{
	bool in_kernel = sink->archive == NULL && sink->can_seek;
	uint64_t chunk = in_kernel ? COPY_CHUNK : READ_CHUNK;
	cleanup_free void *buffer = in_kernel ? NULL : xmalloc(READ_CHUNK);
	while (len > 0) {
		uint64_t n = len < chunk ? len : chunk;
		int r = interrupt_check(err);
		if (r == 0 && in_kernel) {
			r = file_copy_range(from, offset, sink->fd, sink->position, n, name, err);
			advance(sink, n);
		} else if (r == 0) {
			r = file_read_at(from, buffer, (size_t)n, offset, name, err);
			if (r == 0)
				r = sink_write(sink, buffer, (size_t)n, err);
		}
		if (r < 0)
			return r;
		offset += n;
		len -= n;
	}
	return 0;
}

int sink_finish(struct sink *sink, struct error *err)
{
	sink->err = err;
	if (sink->archive != NULL && archive_write_close(sink->archive) != ARCHIVE_OK)
		return sink_error(sink, err);
	if (sink->can_seek && lseek(sink->fd, (off_t)sink->position, SEEK_SET) < 0)
		return error_set_errno(err, ERROR_OUTPUT, OUTPUT_NAME ": cannot seek");
	return 0;
}

void sink_free(struct sink *sink)
{
	if (sink == NULL)
		return;
	if (sink->archive != NULL) {
		/* What was not finished must not be written by the free. */
		if (sink->result == 0)
			sink->result = -ECANCELED;
		archive_write_free(sink->archive);
	}
	free(sink);
}
