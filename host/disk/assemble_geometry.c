#include "disk/assemble_geometry.h"

#include <errno.h>
#include <stdbool.h>

#include <ext2fs/ext2_fs.h>

#include "disk/disk.h"

#define BITS_PER_BLOCK (DISK_BLOCK_SIZE * 8u)
#define INODES_PER_BLOCK (DISK_BLOCK_SIZE / GEOMETRY_INODE_SIZE)
#define DESCRIPTORS_PER_BLOCK (DISK_BLOCK_SIZE / (uint32_t)sizeof(struct ext2_group_desc))

/* Inodes for the guest: never too few, however small the room is. */
#define SPARE_INODES_MIN 1000

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t round_up(uint64_t a, uint64_t to)
{
	return div_up(a, to) * to;
}

/*
 * Lays out a disk of so many blocks, or some more. A bitmap is one block, for inodes too: many
 * small files need more, smaller groups. libext2fs wants room in each group for its own tables,
 * the superblock and all descriptors, although they lie elsewhere.
 */
static void lay_out(struct geometry *g, uint64_t blocks, uint64_t inodes)
{
	uint64_t groups = div_up(blocks > inodes ? blocks : inodes, BITS_PER_BLOCK);
	uint64_t inodes_per_group = round_up(div_up(inodes, groups), INODES_PER_BLOCK);
	uint64_t least =
		inodes_per_group / INODES_PER_BLOCK + 3 + div_up(groups, DESCRIPTORS_PER_BLOCK);
	uint64_t blocks_per_group = div_up(blocks, groups);
	if (blocks_per_group < least)
		blocks_per_group = least;
	g->groups = (uint32_t)groups;
	g->inodes_per_group = (uint32_t)inodes_per_group;
	g->blocks_per_group = (uint32_t)round_up(blocks_per_group, 8);
}

/* The blocks before the data; they may be more than fit in 32 bits while the size is sought. */
static uint64_t metadata_blocks(const struct geometry *g)
{
	return 1 + div_up(g->groups, DESCRIPTORS_PER_BLOCK) + 2 * (uint64_t)g->groups +
	       (uint64_t)g->groups * (g->inodes_per_group / INODES_PER_BLOCK);
}

/*
 * What the kernel keeps back from everybody on a file system with extents
 * (ext4_calculate_resv_clusters), so that room bytes can really be written.
 */
static uint64_t kernel_reserve(uint64_t blocks)
{
	return min_u64(blocks / 50, 4096);
}

int geometry_plan(struct geometry *g, const struct geometry_use *use,
	const struct geometry_room *room, struct error *err)
{
	uint64_t spare = room->bytes / room->bytes_per_inode;
	uint64_t inodes = use->inodes + (spare > SPARE_INODES_MIN ? spare : SPARE_INODES_MIN);
	uint64_t wanted = use->data_blocks + div_up(room->bytes, DISK_BLOCK_SIZE);
	/* The fewest blocks that could do for all inodes; lay_out needs a group of some size. */
	uint64_t blocks = wanted + div_up(inodes, INODES_PER_BLOCK);
	bool fits = blocks <= UINT32_MAX && inodes <= UINT32_MAX;
	while (fits) {
		lay_out(g, blocks, inodes);
		blocks = (uint64_t)g->groups * g->blocks_per_group;
		uint64_t needed = metadata_blocks(g) + wanted + kernel_reserve(blocks);
		fits = blocks <= UINT32_MAX && needed <= UINT32_MAX &&
		       (uint64_t)g->groups * g->inodes_per_group <= UINT32_MAX;
		if (needed <= blocks)
			break;
		/* A block more needs some hundredths of a block more: this comes to an end. */
		blocks = needed;
	}
	if (!fits)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"the disk needs %llu blocks of %d bytes and %llu inodes for the image and "
			"%llu bytes of room; ext4 has at most 2^32 of both",
			(unsigned long long)blocks, DISK_BLOCK_SIZE, (unsigned long long)inodes,
			(unsigned long long)room->bytes);
	g->blocks = (uint32_t)blocks;
	g->block_bitmaps = 1 + (uint32_t)div_up(g->groups, DESCRIPTORS_PER_BLOCK);
	g->inode_bitmaps = g->block_bitmaps + g->groups;
	g->inode_table = g->inode_bitmaps + g->groups;
	g->data = (uint32_t)metadata_blocks(g);
	return 0;
}
