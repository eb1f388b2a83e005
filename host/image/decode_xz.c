/* xz (The .xz File Format 1.2.0) by liblzma: streams, with padding of zeros after each. */
#include <errno.h>
#include <lzma.h>
#include <stdbool.h>

#include "image/decode.h"
#include "support/memory.h"

/*
 * Memory for one decoder, in bytes: xz -9 has a dictionary of 64 MiB, and zstd's window, which is
 * as much, ends at 128 MiB here.
 */
#define MEMORY_MAX (UINT64_C(160) << 20)
#define MIB (UINT64_C(1) << 20)

struct xz {
	struct range *range;
	lzma_stream stream;
	bool in_stream;   /* between a stream's first byte and its last */
	bool is_first;    /* no stream has ended yet */
	unsigned padding; /* zeros since the last stream */
	bool ended;       /* the last stream is behind */
};

static void xz_close(void *state)
{
	struct xz *xz = state;
	if (xz != NULL)
		lzma_end(&xz->stream);
	free(xz);
}

static int xz_open(const struct decode_format *format, struct range *range, void **state)
{
	(void)format;
	struct xz *xz = xcalloc(1, sizeof(*xz));
	xz->range = range;
	xz->stream = (lzma_stream)LZMA_STREAM_INIT;
	xz->is_first = true;
	*state = xz;
	return 0;
}

static int damaged(const struct xz *xz, const char *what)
{
	return error_set(
		xz->range->err, ERROR_INPUT, EINVAL, "%s: is damaged: %s", xz->range->name, what);
}

static int fault(struct xz *xz, lzma_ret code)
{
	switch (code) {
	case LZMA_MEM_ERROR:
		return error_set(
			xz->range->err, ERROR_INTERNAL, ENOMEM, "liblzma is out of memory");
	case LZMA_MEMLIMIT_ERROR:
		return error_set(xz->range->err, ERROR_LIMIT, EFBIG,
			"%s: needs %llu MiB of memory for its xz dictionary; the limit is %llu MiB",
			xz->range->name,
			(unsigned long long)((lzma_memusage(&xz->stream) + MIB - 1) / MIB),
			(unsigned long long)(MEMORY_MAX / MIB));
	case LZMA_OPTIONS_ERROR:
		return damaged(xz, "its xz data has a filter that liblzma does not know");
	default:
		return damaged(xz, "its xz data is wrong");
	}
}

/* More input. Nothing is left of the last one. */
static int refill(struct xz *xz)
{
	const uint8_t *data = NULL;
	size_t len = 0;
	int r = range_next(xz->range, &data, &len);
	if (r < 0)
		return r;
	xz->stream.next_in = data;
	xz->stream.avail_in = len;
	if (len == 0 && xz->in_stream)
		return damaged(xz, "it ends within its xz data");
	if (len == 0 && xz->padding % 4 != 0)
		return damaged(xz, "the zeros after its xz data are no multiple of 4 bytes");
	xz->ended = len == 0;
	return 0;
}

/* Goes over the padding to the first byte of the next stream. */
static int start_stream(struct xz *xz)
{
	lzma_stream *stream = &xz->stream;
	while (!xz->ended) {
		while (!xz->is_first && stream->avail_in > 0 && *stream->next_in == 0) {
			stream->next_in++;
			stream->avail_in--;
			xz->padding = (xz->padding + 1) % 4;
		}
		if (stream->avail_in > 0)
			break;
		int r = refill(xz);
		if (r < 0)
			return r;
	}
	if (xz->ended)
		return 0;
	if (xz->padding % 4 != 0)
		return damaged(xz, "the zeros after its xz data are no multiple of 4 bytes");
	if (*stream->next_in != 0xfd)
		return damaged(xz, "other data follows the end of its xz data");
	xz->in_stream = true;
	lzma_ret code = lzma_stream_decoder(stream, MEMORY_MAX, 0);
	return code == LZMA_OK ? 0 : fault(xz, code);
}

/* One call of liblzma within a stream, and more input where it has used up what there was. */
static int step(struct xz *xz)
{
	if (xz->stream.avail_in == 0) {
		int r = refill(xz);
		if (r < 0)
			return r;
	}
	lzma_ret code = lzma_code(&xz->stream, LZMA_RUN);
	if (code == LZMA_STREAM_END) {
		xz->in_stream = xz->is_first = false;
		return 0;
	}
	if (code == LZMA_FORMAT_ERROR && !xz->is_first)
		return damaged(xz, "other data follows the end of its xz data");
	return code == LZMA_OK ? 0 : fault(xz, code);
}

static int xz_read(void *state, void *data, size_t size, size_t *len)
{
	struct xz *xz = state;
	xz->stream.next_out = data;
	xz->stream.avail_out = size;
	int r = 0;
	while (r == 0 && xz->stream.avail_out > 0 && !xz->ended)
		r = xz->in_stream ? step(xz) : start_stream(xz);
	*len = size - xz->stream.avail_out;
	return r;
}

const struct decode_format decode_xz = {
	.name = "xz",
	.open = xz_open,
	.read = xz_read,
	.close = xz_close,
};
