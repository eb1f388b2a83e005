/*
 * Pieces of a deflate stream (RFC 1951) that are made on their own and joined by putting one
 * behind the other. Made by libdeflate, more than twice as fast as zlib and smaller.
 */
#ifndef LAYERVM_IMAGE_DEFLATE_BLOCK_H
#define LAYERVM_IMAGE_DEFLATE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

/* Bytes of a piece before it is compressed; the last one of a stream has fewer. */
#define DEFLATE_PIECE (1u << 20)

/* What makes pieces, one at a time; a thread has its own. */
struct deflater;

int deflater_new(struct deflater **out, struct error *err);

/* The most bytes that a piece can have. */
size_t deflate_piece_max(void);

/*
 * Compresses len bytes, 1 to DEFLATE_PIECE, to out, which has deflate_piece_max() bytes. The piece
 * ends at a byte and is not the stream's last. It is inflated again and compared.
 */
int deflate_piece(struct deflater *deflater, const uint8_t *data, size_t len, uint8_t *out,
	size_t *out_len, struct error *err);

void deflater_free(struct deflater *deflater);
static inline void cleanup_deflater_fn(struct deflater **deflater)
{
	deflater_free(*deflater);
}
#define cleanup_deflater __attribute__((cleanup(cleanup_deflater_fn)))

#endif
