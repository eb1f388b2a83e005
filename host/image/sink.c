#include "image/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/encode.h"
#include "support/cpu_count.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "support/outlet.h"

/* Bytes that are read at once, and those that are copied between two questions for a signal. */
#define READ_CHUNK (256u << 10)
#define COPY_CHUNK (8u << 20)

/* The disk is given so many bytes at once, so that it works while the rest is made. */
#define WRITEBACK_CHUNK (8u << 20)

#define OUTPUT_NAME "the output"

struct sink {
	int fd;
	bool can_seek;
	struct outlet outlet;               /* of fd, where it cannot seek */
	uint64_t position;                  /* of fd, where it can seek */
	uint64_t given;                     /* up to where the disk was told to begin */
	const struct encode_format *format; /* NULL: the bytes go out as they are */
	void *encoder;
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
		return outlet_send(&sink->outlet, data, len, OUTPUT_NAME, err);
	int r = file_write_at(sink->fd, data, len, sink->position, OUTPUT_NAME, err);
	if (r == 0)
		advance(sink, len);
	return r;
}

/* Where an encoder's bytes go. */
static int on_encoded(void *context, const void *data, size_t len, struct error *err)
{
	return write_plain(context, data, len, err);
}

int sink_open(int fd, enum image_compression compression, struct sink **out, struct error *err)
{
	static const struct encode_format *const formats[] = {
		[IMAGE_PLAIN] = NULL,
		[IMAGE_GZIP] = &encode_gzip,
		[IMAGE_ZSTD] = &encode_zstd,
	};
	cleanup_sink struct sink *sink = xcalloc(1, sizeof(*sink));
	struct stat st;
	sink->fd = fd;
	off_t position = lseek(fd, 0, SEEK_CUR);
	/* A device may seek and forget the position. */
	sink->can_seek = position >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	sink->position = sink->can_seek ? (uint64_t)position : 0;
	sink->given = sink->position;
	outlet_open(&sink->outlet, sink->can_seek ? -1 : fd);
	sink->format = formats[compression];
	if (sink->format != NULL) {
		const struct encode_out encoded = {.write = on_encoded, .context = sink};
		int r = sink->format->open(
			&encoded, cpu_count(ENCODE_THREADS_MAX), &sink->encoder, err);
		if (r < 0)
			return r;
	}
	*out = steal_ptr(&sink);
	return 0;
}

int sink_write(struct sink *sink, const void *data, size_t len, struct error *err)
{
	return sink->format != NULL ? sink->format->write(sink->encoder, data, len, err)
				    : write_plain(sink, data, len, err);
}

int sink_copy(struct sink *sink, int from, uint64_t offset, uint64_t len, const char *name,
	struct error *err)
{
	bool in_kernel = sink->format == NULL && sink->can_seek;
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
	int r = sink->format != NULL ? sink->format->finish(sink->encoder, err) : 0;
	if (r == 0 && sink->can_seek && lseek(sink->fd, (off_t)sink->position, SEEK_SET) < 0)
		return error_set_errno(err, ERROR_OUTPUT, OUTPUT_NAME ": cannot seek");
	return r;
}

void sink_free(struct sink *sink)
{
	if (sink == NULL)
		return;
	if (sink->format != NULL)
		sink->format->close(sink->encoder);
	outlet_close(&sink->outlet);
	free(sink);
}
