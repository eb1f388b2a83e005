/*
 * zstd (RFC 8878), one frame. libzstd cuts the stream into jobs of one size, so that the frame is
 * the same for every number of workers from one on.
 */
#include <errno.h>
#include <zstd.h>

#include "image/encode.h"
#include "support/memory.h"

#define LEVEL 3

/*
 * Each worker holds a job's bytes and what they became: 11 MiB with libzstd's own size, 8 MiB at
 * this level; four workers take 27 MiB in all with 2 MiB. Smaller jobs begin with less to refer
 * back to: frames of a Debian system are 1.2% larger with 2 MiB, 4.2% with 1 MiB.
 */
#define JOB_SIZE (2 << 20)

/* So many compress more than 1 GB/s, which is more than trees are read with. */
#define WORKERS_MAX 4u

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

/*
 * A libzstd that was built without threads refuses workers. Without them it makes another frame of
 * the same bytes, so there is no doing without.
 */
static int configure(ZSTD_CCtx *context, unsigned threads, struct error *err)
{
	unsigned workers = threads < WORKERS_MAX ? threads : WORKERS_MAX;
	const struct {
		ZSTD_cParameter parameter;
		int value;
		const char *name;
	} settings[] = {
		{ZSTD_c_compressionLevel, LEVEL, "level"},
		{ZSTD_c_nbWorkers, (int)workers, "number of threads"},
		{ZSTD_c_jobSize, JOB_SIZE, "job size"},
	};
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		size_t code =
			ZSTD_CCtx_setParameter(context, settings[i].parameter, settings[i].value);
		if (ZSTD_isError(code))
			return error_set(err, ERROR_INTERNAL, ENOTSUP,
				"cannot compress: libzstd %s refuses %d as its %s: %s; a libzstd "
				"with threads is needed",
				ZSTD_versionString(), settings[i].value, settings[i].name,
				ZSTD_getErrorName(code));
	}
	return 0;
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
			? configure(zstd->context, threads, err)
			: error_set(err, ERROR_INTERNAL, ENOMEM, "libzstd is out of memory");
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
