/*
 * zstd (RFC 8878) by its own library: frames of data and skippable ones, which zstd:chunked keeps
 * its table of contents in.
 */
#include <errno.h>
#include <stdbool.h>
#include <zstd.h>

#include "image/decode.h"
#include "support/memory.h"

struct zstd {
	struct range *range;
	ZSTD_DCtx *context;
	ZSTD_inBuffer input;
	bool in_frame; /* more of a frame must come */
	bool is_full;  /* the last output was filled: the library may hold back more */
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
	/* Windows of more than 128 MiB stay forbidden, as the library and zstd(1) have it. */
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

static int step(struct zstd *zstd, ZSTD_outBuffer *output)
{
	size_t in_before = zstd->input.pos;
	size_t out_before = output->pos;
	size_t left = ZSTD_decompressStream(zstd->context, output, &zstd->input);
	if (ZSTD_isError(left))
		return error_set(zstd->range->err, ERROR_INPUT, EINVAL,
			"%s: is damaged: its zstd data: %s", zstd->range->name,
			ZSTD_getErrorName(left));
	/* Between two frames, with no input, `left` is what the next one's header needs. */
	if (zstd->input.pos != in_before || output->pos != out_before)
		zstd->in_frame = left != 0;
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
