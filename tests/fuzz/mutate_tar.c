/*
 * Tars whose headers stay right: after any change the checksums are computed again, without which
 * readers see nothing but the first header.
 */
#include <string.h>

#include "fuzz.h"
#include "support/ustar.h"

/* Moves a block, so that entries come twice, or in another order. */
static size_t copy_block(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	size_t blocks = size / TAR_BLOCK;
	if (blocks < 2 || size + TAR_BLOCK > max_size)
		return size;
	size_t from = seed / 8 % blocks;
	size_t to = seed / 8 / blocks % blocks;
	uint8_t block[TAR_BLOCK];
	memcpy(block, data + from * TAR_BLOCK, TAR_BLOCK);
	memmove(data + (to + 1) * TAR_BLOCK, data + to * TAR_BLOCK, size - to * TAR_BLOCK);
	memcpy(data + to * TAR_BLOCK, block, TAR_BLOCK);
	return size + TAR_BLOCK;
}

/* Changes bytes within one block, and leaves the others where they are. */
static void change_block(uint8_t *data, size_t size, unsigned seed)
{
	uint8_t *block = data + seed / 8 % (size / TAR_BLOCK) * TAR_BLOCK;
	size_t at = seed / 64 % TAR_BLOCK;
	LLVMFuzzerMutate(block + at, TAR_BLOCK - at, TAR_BLOCK - at);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	if (seed % 8 == 0 || size < TAR_BLOCK)
		size = LLVMFuzzerMutate(data, size, max_size);
	else if (seed % 8 == 1)
		size = copy_block(data, size, max_size, seed);
	else
		change_block(data, size, seed);
	for (size_t at = 0; at + TAR_BLOCK <= size; at += TAR_BLOCK) {
		struct ustar *header = (struct ustar *)(data + at);
		if (memcmp(header->magic, "ustar", 5) == 0)
			ustar_put_checksum(header);
	}
	return size;
}
