/*
 * zstd (RFC 8878) by its own library: frames of data and skippable ones, which zstd:chunked keeps
 * its table of contents in.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "image/decode.h"
#include "support/memory.h"

/* Bytes of a frame's header that tell the window (RFC 8878, "Frame Header"). */
#define HEAD_MAX 14u

#define MIB (UINT64_C(1) << 20)

/* The window that the library and zstd(1) take at most, in MiB. */
#define WINDOW_MAX_MIB 128u

struct zstd {
	struct range *range;
	ZSTD_DCtx *context;
	ZSTD_inBuffer input;
	uint8_t head[HEAD_MAX]; /* how the frame begins that is being read */
	size_t head_len;
	bool has_frame; /* one has ended */
	bool in_frame;  /* more of a frame must come */
	bool is_full;   /* the last output was filled: the library may hold back more */
	bool ended;
};

static void zstd_close(void *state)
{
	struct zstd *zstd = state;
	if (zstd != NULL)
		ZSTD_freeDCtx(zstd->context);
	free(zstd);
}

static int zstd_open(const struct decode_format *format, struct range *range, void **state)
{
	(void)format;
	/* WINDOW_MAX_MIB is what the library has it without being told. */
	ZSTD_DCtx *context = ZSTD_createDCtx();
	if (context == NULL)
		return error_set(range->err, ERROR_INTERNAL, ENOMEM, "libzstd is out of memory");
	struct zstd *zstd = xcalloc(1, sizeof(*zstd));
	zstd->range = range;
	zstd->context = context;
	*state = zstd;
	return 0;
}

static int refill(struct zstd *zstd)
{
	const uint8_t *data = NULL;
	size_t len = 0;
	int r = range_next(zstd->range, &data, &len);
	if (r < 0)
		return r;
	zstd->input = (ZSTD_inBuffer){.src = data, .size = len};
	if (len == 0 && zstd->in_frame)
		return error_set(zstd->range->err, ERROR_INPUT, EINVAL,
			"%s: is damaged: it ends within its zstd data", zstd->range->name);
	zstd->ended = len == 0;
	return 0;
}

/* The window that the frame's header asks for, in bytes; 0: it is not known. */
static uint64_t window_of(const struct zstd *zstd)
{
	static const uint8_t id_len[] = {0, 1, 2, 4};
	const uint8_t *head = zstd->head;
	if (zstd->head_len < HEAD_MAX)
		return 0;
	if ((head[4] & 0x20) == 0) {
		uint64_t base = UINT64_C(1) << (10 + (head[5] >> 3));
		return base + base / 8 * (head[5] & 7);
	}
	/* A single segment, whose window is its content. Of one byte it needs no large window. */
	const uint8_t *size = head + 5 + id_len[head[4] & 3];
	unsigned bytes = 1u << (head[4] >> 6);
	uint64_t window = 0;
	for (unsigned i = bytes; i > 0; i--)
		window = window << 8 | size[i - 1];
	return bytes == 2 ? window + 256 : window;
}

/* Keeps how a frame begins, for window_of. */
static void keep_head(struct zstd *zstd)
{
	size_t len = HEAD_MAX - zstd->head_len;
	size_t left = zstd->input.size - zstd->input.pos;
	if (len > left)
		len = left;
	memcpy(zstd->head + zstd->head_len, (const uint8_t *)zstd->input.src + zstd->input.pos,
		len);
	zstd->head_len += len;
}

static int fault(const struct zstd *zstd, size_t code, struct error *err)
{
	const char *name = zstd->range->name;
	uint64_t window = window_of(zstd);
	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_frameParameter_windowTooLarge:
		if (window == 0)
			return error_set(err, ERROR_LIMIT, EFBIG,
				"%s: needs a window of more than %u MiB for its zstd data, which "
				"is "
				"the limit",
				name, WINDOW_MAX_MIB);
		return error_set(err, ERROR_LIMIT, EFBIG,
			"%s: needs a window of %llu MiB for its zstd data; the limit is %u MiB",
			name, (unsigned long long)((window + MIB - 1) / MIB), WINDOW_MAX_MIB);
	case ZSTD_error_prefix_unknown:
		if (zstd->has_frame)
			return error_set(err, ERROR_INPUT, EINVAL,
				"%s: is damaged: other data follows the end of its zstd data",
				name);
		break;
	default:
		break;
	}
	return error_set(err, ERROR_INPUT, EINVAL, "%s: is damaged: its zstd data: %s", name,
		ZSTD_getErrorName(code));
}

static int step(struct zstd *zstd, ZSTD_outBuffer *output)
{
	if (zstd->head_len < HEAD_MAX)
		keep_head(zstd);
	size_t in_before = zstd->input.pos;
	size_t out_before = output->pos;
	size_t left = ZSTD_decompressStream(zstd->context, output, &zstd->input);
	if (ZSTD_isError(left))
		return fault(zstd, left, zstd->range->err);
	/* Between two frames, with no input, `left` is what the next one's header needs. */
	if (zstd->input.pos != in_before || output->pos != out_before)
		zstd->in_frame = left != 0;
	if (left == 0) {
		zstd->has_frame = true;
		zstd->head_len = 0;
	}
	zstd->is_full = output->pos == output->size;
	return 0;
}

static int zstd_read(void *state, void *data, size_t size, size_t *len)
{
	struct zstd *zstd = state;
	ZSTD_outBuffer output = {.dst = data, .size = size};
	int r = 0;
	while (r == 0 && output.pos < output.size && !zstd->ended) {
		bool is_empty = zstd->input.pos == zstd->input.size;
		r = is_empty && !zstd->is_full ? refill(zstd) : step(zstd, &output);
	}
	*len = output.pos;
	return r;
}

const struct decode_format decode_zstd = {
	.name = "zstd",
	.open = zstd_open,
	.read = zstd_read,
	.close = zstd_close,
};
