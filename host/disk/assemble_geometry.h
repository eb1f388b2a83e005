/*
 * Where things lie on a disk that is made at once: superblock, group descriptors, all block
 * bitmaps, all inode bitmaps, one inode table, the tree's data, and behind it nothing but free
 * blocks. flex_bg lets the groups' bitmaps and tables lie anywhere, and sparse_super2 without a
 * backup superblock leaves nothing in the way: a throwaway disk has no use for backups. All groups
 * have the same size, as libext2fs drops a last group that is too small for its own tables.
 */
#ifndef LAYERVM_DISK_ASSEMBLE_GEOMETRY_H
#define LAYERVM_DISK_ASSEMBLE_GEOMETRY_H

#include <stdint.h>

#include "support/error.h"

#define GEOMETRY_BLOCK_SIZE 4096
#define GEOMETRY_INODE_SIZE 256
/* Behind inode 2, the root, nothing is free before this one (EXT2_GOOD_OLD_FIRST_INO). */
#define GEOMETRY_FIRST_INO 11

struct geometry {
	uint32_t blocks;
	uint32_t blocks_per_group;
	uint32_t inodes_per_group;
	uint32_t groups;
	/* First blocks; group descriptors begin with block 1. */
	uint32_t block_bitmaps;
	uint32_t inode_bitmaps;
	uint32_t inode_table;
	uint32_t data;
};

/* What the tree takes. */
struct geometry_use {
	uint64_t data_blocks;
	uint64_t inodes; /* numbers 1 to inodes are taken */
};

/*
 * One inode for each block of the room: bytes run out before inodes do, unless files are empty.
 * The inode table, which is a hole in the disk's file, makes the disk longer by a sixteenth.
 */
#define GEOMETRY_BYTES_PER_INODE 4096
/* What mke2fs has, for a disk that would be too long otherwise. */
#define GEOMETRY_BYTES_PER_INODE_MOST 16384

/* What is left to whoever mounts the disk. */
struct geometry_room {
	uint64_t bytes;
	uint32_t bytes_per_inode; /* one inode for so many bytes; 1,000 inodes at least */
};

/*
 * Finds the smallest disk that holds the tree and leaves the room. More than ext4 has without its
 * 64-bit form (16 TiB, 2^32 inodes) is an ERROR_LIMIT.
 */
int geometry_plan(struct geometry *g, const struct geometry_use *use,
	const struct geometry_room *room, struct error *err);

#endif
