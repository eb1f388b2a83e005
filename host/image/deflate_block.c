#include "image/deflate_block.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "support/memory.h"

#define LEVEL 6

/* An empty block of the stored type behind the bits of a piece: at most two bytes and LEN, NLEN. */
#define PADDING_MAX 6u

struct deflater {
	struct libdeflate_compressor *compressor;
	z_stream inflate;
	bool has_inflate;
	uint8_t *inflated; /* a piece, and a byte more */
};

void deflater_free(struct deflater *deflater)
{
	if (deflater == NULL)
		return;
	if (deflater->compressor != NULL)
		libdeflate_free_compressor(deflater->compressor);
	if (deflater->has_inflate)
		inflateEnd(&deflater->inflate);
	free(deflater->inflated);
	free(deflater);
}

int deflater_new(struct deflater **out, struct error *err)
{
	cleanup_deflater struct deflater *deflater = xcalloc(1, sizeof(*deflater));
	deflater->compressor = libdeflate_alloc_compressor(LEVEL);
	deflater->has_inflate = inflateInit2(&deflater->inflate, -MAX_WBITS) == Z_OK;
	if (deflater->compressor == NULL || !deflater->has_inflate)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "no memory for a compressor");
	deflater->inflated = xmalloc(DEFLATE_PIECE + 1);
	*out = steal_ptr(&deflater);
	return 0;
}

size_t deflate_piece_max(void)
{
	return libdeflate_deflate_compress_bound(NULL, DEFLATE_PIECE) + PADDING_MAX;
}

/* Where the last block of a stream is, in bits from the stream's first. */
struct last_block {
	uint64_t start; /* of its header, whose first bit says that it is the last */
	uint64_t end;
};

/*
 * Inflates up to the next boundary of blocks. Returns whether there is one, behind *at, which
 * becomes it. zlib.h, inflate: data_type has 128 at a boundary, with the unused bits of the last
 * byte below, and 64 where the block before it was the last.
 */
static bool next_block(z_stream *stream, const uint8_t *data, uint64_t *at, bool *is_last)
{
	int code = inflate(stream, Z_BLOCK);
	uint64_t bits = 8 * (uint64_t)(stream->next_in - data);
	uint64_t unused = (uint64_t)stream->data_type & 7;
	if ((code != Z_OK && code != Z_BUF_ERROR) || !(stream->data_type & 128) ||
		bits - unused <= *at)
		return false;
	*at = bits - unused;
	*is_last = stream->data_type & 64;
	return true;
}

/* Inflates a stream, and finds its last block. Returns whether it is that of the data. */
static bool find_last_block(struct deflater *deflater, const uint8_t *data, size_t len,
	const uint8_t *deflated, size_t deflated_len, struct last_block *last)
{
	z_stream *stream = &deflater->inflate;
	bool is_last = false;
	*last = (struct last_block){0};
	inflateReset(stream);
	/* zlib reads from the input only. */
	stream->next_in = (uint8_t *)(uintptr_t)deflated;
	stream->avail_in = (uInt)deflated_len;
	stream->next_out = deflater->inflated;
	stream->avail_out = DEFLATE_PIECE + 1;
	while (!is_last) {
		last->start = last->end;
		if (!next_block(stream, deflated, &last->end, &is_last))
			return false;
	}
	return stream->avail_in == 0 && stream->total_out == len &&
	       memcmp(deflater->inflated, data, len) == 0;
}

/*
 * Takes the last block's mark away, and puts an empty stored block behind it (RFC 1951, 3.2.4):
 * three bits of zeros, zeros up to the next byte, LEN 0 and its complement. Returns the length.
 */
static size_t open_end(uint8_t *deflated, const struct last_block *last)
{
	static const uint8_t length[] = {0x00, 0x00, 0xff, 0xff};
	deflated[last->start / 8] &= (uint8_t) ~(1u << last->start % 8);
	size_t len = (size_t)(last->end / 8);
	size_t stop = (size_t)((last->end + 3 + 7) / 8);
	if (last->end % 8 != 0)
		deflated[len++] &= (uint8_t)((1u << last->end % 8) - 1);
	while (len < stop)
		deflated[len++] = 0;
	memcpy(deflated + len, length, sizeof(length));
	return len + sizeof(length);
}

int deflate_piece(struct deflater *deflater, const uint8_t *data, size_t len, uint8_t *out,
	size_t *out_len, struct error *err)
{
	struct last_block last;
	size_t deflated_len = libdeflate_deflate_compress(
		deflater->compressor, data, len, out, deflate_piece_max() - PADDING_MAX);
	if (deflated_len == 0 || !find_last_block(deflater, data, len, out, deflated_len, &last))
		return error_set(err, ERROR_INTERNAL, EIO,
			"cannot compress: %zu bytes that were deflated do not inflate to what they "
			"were",
			len);
	*out_len = open_end(out, &last);
	return 0;
}
