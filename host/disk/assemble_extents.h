/*
 * The extent tree of an inode (kernel Documentation/filesystems/ext4/ifork.rst, "Extent Tree"):
 * up to four extents in the inode, more in blocks that are filled to the last entry.
 */
#ifndef LAYERVM_DISK_ASSEMBLE_EXTENTS_H
#define LAYERVM_DISK_ASSEMBLE_EXTENTS_H

#include <stddef.h>
#include <stdint.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext3_extents.h>

#include "disk/assemble_writer.h"
#include "support/error.h"

/* Blocks of one extent at most: a longer length would mean "unwritten" (EXT_INIT_MAX_LEN). */
#define EXTENT_BLOCKS_MAX 32768

union extent_entry {
	struct ext3_extent extent;
	struct ext3_extent_idx index;
};

/* The extents of one inode at a time; the memory is used again for the next. All zero: none. */
struct extent_map {
	union extent_entry *entries;
	size_t count;
	size_t capacity;
};

void extent_map_free(struct extent_map *map);

/* How many extents a contiguous run of blocks takes. */
uint64_t extent_count(uint64_t blocks);

/* How many blocks outside the inode the tree of so many extents takes. */
uint64_t extent_tree_blocks(uint64_t extents);

/* Adds blocks from logical on, which lie at physical on the disk, after what the map holds. */
void extent_map_add(struct extent_map *map, uint32_t logical, uint32_t physical, uint64_t blocks);

/*
 * Writes the tree's blocks, at the writer's offset (a multiple of the block size), and its root
 * into inode, with the flag that says so. The map is empty afterwards.
 */
int extent_map_write(struct extent_map *map, struct disk_writer *out,
	struct ext2_inode_large *inode, struct error *err);

#endif
