/*
 * gzip (RFC 1952) by ISA-L: as fast as libdeflate, twice as fast as zlib, and unlike libdeflate a
 * stream, so that a layer of many GiB needs no more memory than a small one.
 */
#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdbool.h>

#include "image/decode.h"
#include "support/memory.h"

/*
 * gzip(1) passes over such data with a warning. Go's readers, which runtimes have, refuse it: the
 * image would be of no use to them.
 */
#define FOLLOWS "other data follows the end of its gzip data"

struct gzip {
	struct range *range;
	struct inflate_state inflate;
	bool in_member;  /* between a member's first byte and its last */
	bool has_member; /* one has ended */
	bool ended;      /* the last member is behind */
};

static int gzip_open(const struct decode_format *format, struct range *range, void **state)
{
	(void)format;
	struct gzip *gzip = xcalloc(1, sizeof(*gzip));
	gzip->range = range;
	isal_inflate_init(&gzip->inflate);
	gzip->inflate.crc_flag = ISAL_GZIP;
	*state = gzip;
	return 0;
}

static void gzip_close(void *state)
{
	free(state);
}

static int damaged(const struct gzip *gzip, const char *what)
{
	return error_set(gzip->range->err, ERROR_INPUT, EINVAL, "%s: is damaged: %s",
		gzip->range->name, what);
}

static const char *words_for(int code)
{
	switch (code) {
	case ISAL_INCORRECT_CHECKSUM:
		return "its gzip checksum or length is wrong";
	case ISAL_INVALID_WRAPPER:
	case ISAL_UNSUPPORTED_METHOD:
		return "a gzip header is wrong";
	default:
		return "its gzip data is wrong";
	}
}

/* More input. At its end nothing is left in the state, which is right between members only. */
static int refill(struct gzip *gzip)
{
	const uint8_t *data = NULL;
	size_t len = 0;
	int r = range_next(gzip->range, &data, &len);
	if (r < 0)
		return r;
	/* ISA-L reads from the buffer only. */
	gzip->inflate.next_in = (uint8_t *)(uintptr_t)data;
	gzip->inflate.avail_in = (uint32_t)len;
	if (len == 0 && gzip->in_member)
		return damaged(gzip, "it ends within its gzip data");
	gzip->ended = len == 0;
	return 0;
}

/*
 * Goes to the first byte of the next member. Zeros may stand before it, as tapes and tar fill up
 * blocks with them.
 */
static int start_member(struct gzip *gzip)
{
	struct inflate_state *inflate = &gzip->inflate;
	while (!gzip->ended) {
		while (inflate->avail_in > 0 && *inflate->next_in == 0) {
			inflate->next_in++;
			inflate->avail_in--;
		}
		if (inflate->avail_in > 0 && gzip->has_member && *inflate->next_in != 0x1f)
			return damaged(gzip, FOLLOWS);
		if (inflate->avail_in > 0) {
			isal_inflate_reset(inflate);
			gzip->in_member = true;
			return 0;
		}
		int r = refill(gzip);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One call of ISA-L within a member, and more input where it has used up what there was. */
static int step(struct gzip *gzip)
{
	struct inflate_state *inflate = &gzip->inflate;
	uint32_t in_before = inflate->avail_in;
	uint32_t out_before = inflate->avail_out;
	int code = isal_inflate(inflate);
	if (code != ISAL_DECOMP_OK) {
		bool is_header = code == ISAL_INVALID_WRAPPER || code == ISAL_UNSUPPORTED_METHOD;
		return damaged(gzip, is_header && gzip->has_member ? FOLLOWS : words_for(code));
	}
	if (inflate->block_state == ISAL_BLOCK_FINISH) {
		gzip->in_member = false;
		gzip->has_member = true;
		return 0;
	}
	if (inflate->avail_out == 0)
		return 0;
	if (inflate->avail_in == 0)
		return refill(gzip);
	if (in_before == inflate->avail_in && out_before == inflate->avail_out)
		return damaged(gzip, "its gzip data leads nowhere");
	return 0;
}

static int gzip_read(void *state, void *data, size_t size, size_t *len)
{
	struct gzip *gzip = state;
	gzip->inflate.next_out = data;
	gzip->inflate.avail_out = (uint32_t)size;
	int r = 0;
	while (r == 0 && gzip->inflate.avail_out > 0 && !gzip->ended)
		r = gzip->in_member ? step(gzip) : start_member(gzip);
	*len = size - gzip->inflate.avail_out;
	return r;
}

const struct decode_format decode_gzip = {
	.name = "gzip",
	.open = gzip_open,
	.read = gzip_read,
	.close = gzip_close,
};
