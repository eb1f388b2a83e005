/* The disk that the ext4 target begins with: a small tree, assembled once. */
#ifndef LAYERVM_TESTS_FUZZ_EXT4_BASE_H
#define LAYERVM_TESTS_FUZZ_EXT4_BASE_H

#include <stdint.h>

#include "disk/disk.h"
#include "fuzz.h"
#include "support/buffer.h"

struct ext4_base {
	struct fuzz_file file;
	uint64_t size;    /* of the disk in bytes */
	uint32_t *inodes; /* numbers, in the order in which the tree is walked */
	uint16_t *told;   /* numbers of the blocks that hold anything */
	size_t told_count;
	size_t block_count;
	uint8_t *bytes; /* the whole disk */
};

/* The disk. Made at the first call. */
const struct ext4_base *ext4_base(void);

/* A new tree that is in the base state, as the one that the disk was made of. */
struct tree *ext4_base_tree(void);

/* Block number of the disk for a block of a patch: the first numbers stand for blocks that hold
 * something, those from 0x8000 on for any. */
uint32_t ext4_base_block(uint16_t number);

#endif
