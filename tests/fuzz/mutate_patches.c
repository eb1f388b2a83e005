/*
 * Patches that hit: a new one changes a few bytes that stand there already, by libFuzzer's own
 * ways, or copies a part of one block to another, as two inodes with the same blocks.
 */
#include <string.h>

#include "patches.h"

#define BLOCKS 64 /* the first ones of the target's numbers, which matter most */

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static void put_u16(uint8_t *to, size_t value)
{
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
}

/* An offset where the block holds something, aligned as fields are. */
static size_t pick_offset(uint64_t *state, const uint8_t *block)
{
	size_t offset = 0;
	for (unsigned i = 0; i < 16; i++) {
		offset = next_random(state) % (PATCH_BLOCK / 4) * 4;
		if (memcmp(block + offset, "\0\0\0\0", 4) != 0)
			break;
	}
	return offset;
}

/* A patch of one field. Returns its length in bytes. */
static size_t make_field(uint64_t *state, uint8_t *to)
{
	uint16_t block = (uint16_t)(next_random(state) % BLOCKS);
	const uint8_t *bytes = patch_block(block);
	size_t offset = pick_offset(state, bytes) + next_random(state) % 4 / 2 * 2;
	size_t len = (size_t)1 << next_random(state) % 5;
	if (len > PATCH_BLOCK - offset)
		len = PATCH_BLOCK - offset;
	memcpy(to + 5, bytes + offset, len);
	LLVMFuzzerMutate(to + 5, len, len);
	put_u16(to, block);
	put_u16(to + 2, offset);
	to[4] = (uint8_t)len;
	return 5 + len;
}

static size_t make_copy(uint64_t *state, uint8_t *to)
{
	uint16_t block = (uint16_t)(next_random(state) % BLOCKS);
	uint16_t from = (uint16_t)(next_random(state) % BLOCKS);
	size_t from_offset = pick_offset(state, patch_block(from));
	size_t offset = pick_offset(state, patch_block(block));
	/* Whole records of 256 bytes as often as parts. */
	bool whole = next_random(state) % 2 == 0;
	put_u16(to, block);
	put_u16(to + 2, whole ? offset & ~(size_t)255 : offset);
	to[4] = (uint8_t)(PATCH_COPY | (whole ? 32 : 1 + next_random(state) % 64));
	put_u16(to + 5, from);
	put_u16(to + 7, whole ? from_offset & ~(size_t)255 : from_offset);
	return 9;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	uint64_t state = seed;
	uint8_t patch[5 + 16];
	uint32_t way = next_random(&state) % 8;
	if (way < 3)
		return LLVMFuzzerMutate(data, size, max_size);
	size_t len = way == 3 ? make_copy(&state, patch) : make_field(&state, patch);
	if (size + len > max_size)
		return LLVMFuzzerMutate(data, size, max_size);
	memcpy(data + size, patch, len);
	return size + len;
}
