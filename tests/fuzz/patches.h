/*
 * Inputs that are changes to a file that a target begins with: formats with large, sparse files
 * become a few bytes. A patch is: block (2 bytes), offset in it (2), length (1), and then that
 * many bytes; a length with its highest bit set is in units of 8 bytes, and a block and an offset
 * follow from where so many bytes are copied. Numbers are little-endian.
 */
#ifndef LAYERVM_TESTS_FUZZ_PATCHES_H
#define LAYERVM_TESTS_FUZZ_PATCHES_H

#include "fuzz.h"

#define PATCH_BLOCK 4096
#define PATCH_COPY 0x80

struct patch {
	uint16_t block;
	uint16_t offset;
	size_t len;
	const uint8_t *data; /* NULL: a copy */
	uint16_t from_block;
	uint16_t from_offset;
};

/* The next patch, which stays within a block. Returns whether there is one. */
bool patch_next(struct fuzz_input *input, struct patch *patch);

/* What a block of that number holds before any patch, and which bytes of it tell something: for
 * the mutator. Given by the target. */
const uint8_t *patch_block(uint16_t block);

#endif
