#include "disk/assemble_extents.h"

#include <string.h>

#include "disk/disk.h"
#include "support/memory.h"

#define ENTRY_SIZE sizeof(union extent_entry)
#define IN_BLOCK ((DISK_BLOCK_SIZE - sizeof(struct ext3_extent_header)) / ENTRY_SIZE)
#define IN_INODE                                                                                   \
	((EXT2_N_BLOCKS * sizeof(uint32_t) - sizeof(struct ext3_extent_header)) / ENTRY_SIZE)

_Static_assert(sizeof(struct ext3_extent) == 12 && sizeof(struct ext3_extent_idx) == 12,
	"both kinds of entries take the same room");
_Static_assert(IN_INODE == 4 && IN_BLOCK == 340, "ext4 on-disk layout");

void extent_map_free(struct extent_map *map)
{
	free(map->entries);
	*map = (struct extent_map){0};
}

uint64_t extent_count(uint64_t blocks)
{
	return blocks / EXTENT_BLOCKS_MAX + (blocks % EXTENT_BLOCKS_MAX != 0);
}

uint64_t extent_tree_blocks(uint64_t extents)
{
	uint64_t total = 0;
	while (extents > IN_INODE) {
		extents = extents / IN_BLOCK + (extents % IN_BLOCK != 0);
		total += extents;
	}
	return total;
}

void extent_map_add(struct extent_map *map, uint32_t logical, uint32_t physical, uint64_t blocks)
{
	while (blocks > 0) {
		uint32_t n = blocks < EXTENT_BLOCKS_MAX ? (uint32_t)blocks : EXTENT_BLOCKS_MAX;
		map->entries = array_grow(map->entries, map->count, &map->capacity, ENTRY_SIZE);
		map->entries[map->count++].extent = (struct ext3_extent){
			.ee_block = logical, .ee_len = (uint16_t)n, .ee_start = physical};
		logical += n;
		physical += n;
		blocks -= n;
	}
}

/* A node: a header and count of the entries, which fit. */
static void fill_node(
	void *node, const union extent_entry *entries, size_t count, size_t max, uint16_t depth)
{
	struct ext3_extent_header header = {.eh_magic = EXT3_EXT_MAGIC,
		.eh_entries = (uint16_t)count,
		.eh_max = (uint16_t)max,
		.eh_depth = depth};
	memcpy(node, &header, sizeof(header));
	if (count != 0)
		memcpy((uint8_t *)node + sizeof(header), entries, count * ENTRY_SIZE);
}

/*
 * Writes all entries of one level as blocks, and puts the entries of the level above, one a
 * block, in their place.
 */
static int write_level(
	struct extent_map *map, uint16_t depth, struct disk_writer *out, struct error *err)
{
	size_t above = 0;
	for (size_t i = 0; i < map->count; i += IN_BLOCK) {
		size_t n = map->count - i < IN_BLOCK ? map->count - i : IN_BLOCK;
		uint32_t block = (uint32_t)(writer_offset(out) / DISK_BLOCK_SIZE);
		void *node;
		int r = writer_room(out, DISK_BLOCK_SIZE, &node, err);
		if (r < 0)
			return r;
		fill_node(node, map->entries + i, n, IN_BLOCK, depth);
		/* ee_block and ei_block are the same four bytes of an entry. */
		uint32_t logical = map->entries[i].extent.ee_block;
		map->entries[above++].index =
			(struct ext3_extent_idx){.ei_block = logical, .ei_leaf = block};
	}
	map->count = above;
	return 0;
}

int extent_map_write(struct extent_map *map, struct disk_writer *out,
	struct ext2_inode_large *inode, struct error *err)
{
	uint16_t depth = 0;
	for (; map->count > IN_INODE; depth++) {
		int r = write_level(map, depth, out, err);
		if (r < 0)
			return r;
	}
	fill_node(inode->i_block, map->entries, map->count, IN_INODE, depth);
	inode->i_flags |= EXT4_EXTENTS_FL;
	map->count = 0;
	return 0;
}
