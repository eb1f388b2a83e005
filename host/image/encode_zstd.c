/*
 * zstd (RFC 8878), one frame. libzstd cuts the stream into jobs of a size that follows from the
 * level alone, so that the frame is the same for every number of workers from one on.
 */
#include <errno.h>
#include <zstd.h>

#include "image/encode.h"
#include "support/memory.h"

#define LEVEL 3

struct zstd {
	struct encode_out out;
	ZSTD_CCtx *context;
	void *buffer;
	size_t size; /* of the buffer */
};

static void zstd_close(void *state)
{
	struct zstd *zstd = state;
	if (zstd == NULL)
		return;
	ZSTD_freeCCtx(zstd->context);
	free(zstd->buffer);
	free(zstd);
}

static int check(size_t code, struct error *err)
{
	return ZSTD_isError(code) ? error_set(err, ERROR_OUTPUT, EIO, "cannot compress: zstd: %s",
					    ZSTD_getErrorName(code))
				  : 0;
}

static int zstd_open(
	const struct encode_out *out, unsigned threads, void **state, struct error *err)
{
	struct zstd *zstd = xcalloc(1, sizeof(*zstd));
	zstd->out = *out;
	zstd->size = ZSTD_CStreamOutSize();
	zstd->buffer = xmalloc(zstd->size);
	zstd->context = ZSTD_createCCtx();
	int r = zstd->context != NULL
			? check(ZSTD_CCtx_setParameter(
					zstd->context, ZSTD_c_compressionLevel, LEVEL),
				  err)
			: error_set(err, ERROR_INTERNAL, ENOMEM, "libzstd is out of memory");
	/* A libzstd that was built without threads has no such parameter, and does without. */
	if (r == 0)
		ZSTD_CCtx_setParameter(zstd->context, ZSTD_c_nbWorkers, (int)threads);
	if (r < 0) {
		zstd_close(zstd);
		return r;
	}
	*state = zstd;
	return 0;
}

/* One call of libzstd, and what came out. *left: 0 where all is out that was to be. */
static int step(struct zstd *zstd, ZSTD_inBuffer *in, ZSTD_EndDirective how, size_t *left,
	struct error *err)
{
	ZSTD_outBuffer out = {.dst = zstd->buffer, .size = zstd->size};
	*left = ZSTD_compressStream2(zstd->context, &out, in, how);
	int r = check(*left, err);
	if (r < 0 || out.pos == 0)
		return r;
	return zstd->out.write(zstd->out.context, zstd->buffer, out.pos, err);
}

static int zstd_write(void *state, const void *data, size_t len, struct error *err)
{
	ZSTD_inBuffer in = {.src = data, .size = len};
	size_t left;
	int r = 0;
	while (r == 0 && in.pos < in.size)
		r = step(state, &in, ZSTD_e_continue, &left, err);
	return r;
}

static int zstd_finish(void *state, struct error *err)
{
	ZSTD_inBuffer in = {.src = ""};
	size_t left;
	int r;
	do
		r = step(state, &in, ZSTD_e_end, &left, err);
	while (r == 0 && left != 0);
	return r;
}

const struct encode_format encode_zstd = {
	.open = zstd_open,
	.write = zstd_write,
	.finish = zstd_finish,
	.close = zstd_close,
};
