#include "disk/assemble_geometry.h"

#include <errno.h>
#include <string.h>

#include <ext2fs/ext2_fs.h>

#include "disk/assemble_directory.h"
#include "disk/assemble_writer.h"
#include "disk/disk.h"

#define BITS_PER_BLOCK (DISK_BLOCK_SIZE * 8u)
#define INODES_PER_BLOCK (DISK_BLOCK_SIZE / GEOMETRY_INODE_SIZE)
#define DESCRIPTORS_PER_BLOCK (DISK_BLOCK_SIZE / (uint32_t)sizeof(struct ext2_group_desc))
#define SUPERBLOCK_OFFSET 1024

/* Inodes for the guest: one for so many bytes of room, as mke2fs has it, and never too few. */
#define ROOM_PER_INODE 16384
#define SPARE_INODES_MIN 1000

/* "layervm" and zeros, in the form of a version 8 UUID (RFC 9562). */
static const uint8_t disk_uuid[16] = {
	'l', 'a', 'y', 'e', 'r', 'v', 0x80, 'm', 0x80, 0, 0, 0, 0, 0, 0, 1};

_Static_assert(sizeof(struct ext2_super_block) == 1024, "ext4 on-disk layout");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"ext4 is little-endian, and its structures are written as they are in memory");

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* How many of the numbers start to start + count - 1 are below end. */
static uint32_t count_below(uint64_t start, uint32_t count, uint64_t end)
{
	return end <= start ? 0 : (uint32_t)min_u64(count, end - start);
}

/* Lays out a disk of so many blocks. */
static void lay_out(struct geometry *g, uint32_t blocks, uint64_t inodes)
{
	g->blocks = blocks;
	g->blocks_per_group = BITS_PER_BLOCK;
	g->groups = (uint32_t)div_up(blocks, BITS_PER_BLOCK);
	/* A bitmap is one block, for inodes too: many small files need more, smaller groups. */
	if (inodes > (uint64_t)g->groups * BITS_PER_BLOCK) {
		uint64_t groups = div_up(inodes, BITS_PER_BLOCK);
		g->blocks_per_group = (uint32_t)(blocks / groups) & ~7u;
		g->groups = (uint32_t)div_up(blocks, g->blocks_per_group);
	}
	uint64_t per_group = div_up(inodes, g->groups);
	g->inodes_per_group = (uint32_t)div_up(per_group, INODES_PER_BLOCK) * INODES_PER_BLOCK;
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

int geometry_plan(
	struct geometry *g, const struct geometry_use *use, uint64_t room, struct error *err)
{
	uint64_t spare = room / ROOM_PER_INODE;
	uint64_t inodes = use->inodes + (spare > SPARE_INODES_MIN ? spare : SPARE_INODES_MIN);
	uint64_t wanted = use->data_blocks + div_up(room, DISK_BLOCK_SIZE);
	/* The fewest blocks that could do for all inodes; lay_out needs a group of some size. */
	uint64_t blocks = wanted + div_up(inodes, INODES_PER_BLOCK);
	for (;;) {
		/* Numbers of inodes are rounded up by less than a block of them in each group. */
		uint64_t inodes_max =
			UINT32_MAX - div_up(blocks, BITS_PER_BLOCK) * INODES_PER_BLOCK;
		if (blocks > UINT32_MAX || inodes > inodes_max)
			return error_set(err, ERROR_LIMIT, EFBIG,
				"the disk needs %llu blocks of %d bytes and %llu inodes for the "
				"image and %llu bytes of room; ext4 has at most 2^32 of both",
				(unsigned long long)blocks, DISK_BLOCK_SIZE,
				(unsigned long long)inodes, (unsigned long long)room);
		lay_out(g, (uint32_t)blocks, inodes);
		uint64_t needed = metadata_blocks(g) + wanted + kernel_reserve(blocks);
		if (needed <= blocks)
			break;
		/* A block more needs some hundredths of a block more: this comes to an end. */
		blocks = needed;
	}
	g->block_bitmaps = 1 + (uint32_t)div_up(g->groups, DESCRIPTORS_PER_BLOCK);
	g->inode_bitmaps = g->block_bitmaps + g->groups;
	g->inode_table = g->inode_bitmaps + g->groups;
	g->data = (uint32_t)metadata_blocks(g);
	return 0;
}

static void fill_superblock(
	struct ext2_super_block *sb, const struct geometry *g, const struct geometry_use *use)
{
	uint32_t inodes = g->groups * g->inodes_per_group;
	*sb = (struct ext2_super_block){
		.s_inodes_count = inodes,
		.s_blocks_count = g->blocks,
		.s_free_blocks_count = g->blocks - g->data - (uint32_t)use->data_blocks,
		.s_free_inodes_count = inodes - (uint32_t)use->inodes,
		.s_log_block_size = 2, /* 1024 << 2 */
		.s_log_cluster_size = 2,
		.s_blocks_per_group = g->blocks_per_group,
		.s_clusters_per_group = g->blocks_per_group,
		.s_inodes_per_group = g->inodes_per_group,
		.s_max_mnt_count = -1,
		.s_magic = EXT2_SUPER_MAGIC,
		.s_state = EXT2_VALID_FS,
		/* A damaged disk must end the run, not turn read-only under the script. */
		.s_errors = EXT2_ERRORS_PANIC,
		.s_creator_os = EXT2_OS_LINUX,
		.s_rev_level = EXT2_DYNAMIC_REV,
		.s_first_ino = GEOMETRY_FIRST_INO,
		.s_inode_size = GEOMETRY_INODE_SIZE,
		.s_feature_compat = EXT2_FEATURE_COMPAT_EXT_ATTR | EXT2_FEATURE_COMPAT_DIR_INDEX |
				    EXT4_FEATURE_COMPAT_SPARSE_SUPER2,
		.s_feature_incompat = EXT2_FEATURE_INCOMPAT_FILETYPE |
				      EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_FLEX_BG,
		/* No checksums: whatever writes to the disk would have to keep them right. */
		.s_feature_ro_compat =
			EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
			EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
			EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE,
		.s_def_hash_version = EXT2_HASH_HALF_MD4,
		.s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL,
		.s_min_extra_isize = sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE,
		.s_want_extra_isize = sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE,
		.s_flags = EXT2_FLAGS_UNSIGNED_HASH,
		.s_log_groups_per_flex = 4,
	};
	memcpy(sb->s_uuid, disk_uuid, sizeof(sb->s_uuid));
	memcpy(sb->s_hash_seed, directory_hash_seed, sizeof(sb->s_hash_seed));
}

/* What of a group is taken, from its start on, and how long it is. */
struct group_use {
	uint32_t blocks;
	uint32_t used_blocks;
	uint32_t used_inodes;
};

static struct group_use group_use(
	const struct geometry *g, const struct geometry_use *use, uint32_t group)
{
	uint64_t block = (uint64_t)group * g->blocks_per_group;
	uint64_t inode = (uint64_t)group * g->inodes_per_group;
	return (struct group_use){
		.blocks = count_below(block, g->blocks_per_group, g->blocks),
		.used_blocks = count_below(block, g->blocks_per_group, g->data + use->data_blocks),
		.used_inodes = count_below(inode, g->inodes_per_group, use->inodes),
	};
}

static int write_descriptors(const struct geometry *g, const struct geometry_use *use,
	const uint16_t *dirs, struct disk_writer *out, struct error *err)
{
	uint32_t table_blocks = g->inodes_per_group / INODES_PER_BLOCK;
	for (uint32_t i = 0; i < g->groups; i++) {
		struct group_use group = group_use(g, use, i);
		void *room;
		int r = writer_room(out, sizeof(struct ext2_group_desc), &room, err);
		if (r < 0)
			return r;
		*(struct ext2_group_desc *)room = (struct ext2_group_desc){
			.bg_block_bitmap = g->block_bitmaps + i,
			.bg_inode_bitmap = g->inode_bitmaps + i,
			.bg_inode_table = g->inode_table + i * table_blocks,
			.bg_free_blocks_count = (uint16_t)(group.blocks - group.used_blocks),
			.bg_free_inodes_count = (uint16_t)(g->inodes_per_group - group.used_inodes),
			.bg_used_dirs_count = dirs[i],
		};
	}
	return 0;
}

static void set_bits(uint8_t *bitmap, uint32_t first, uint32_t end)
{
	for (; first < end && first % 8 != 0; first++)
		bitmap[first / 8] |= (uint8_t)(1u << first % 8);
	if (first < end)
		memset(bitmap + first / 8, 0xff, (end - first) / 8);
	for (first += (end - first) & ~7u; first < end; first++)
		bitmap[first / 8] |= (uint8_t)(1u << first % 8);
}

/* Writes a block with the first `used` bits set, and those from `count` on, which mean nothing. */
static int write_bitmap(struct disk_writer *out, uint32_t used, uint32_t count, struct error *err)
{
	void *bitmap;
	if (used == 0 && count == BITS_PER_BLOCK)
		return writer_skip(out, DISK_BLOCK_SIZE, err);
	int r = writer_room(out, DISK_BLOCK_SIZE, &bitmap, err);
	if (r < 0)
		return r;
	set_bits(bitmap, 0, used);
	set_bits(bitmap, count, BITS_PER_BLOCK);
	return 0;
}

int geometry_write(const struct geometry *g, const struct geometry_use *use, const uint16_t *dirs,
	int fd, struct error *err)
{
	cleanup_writer struct disk_writer out;
	writer_init(&out, fd, SUPERBLOCK_OFFSET);
	void *superblock;
	int r = writer_room(&out, sizeof(struct ext2_super_block), &superblock, err);
	if (r < 0)
		return r;
	fill_superblock(superblock, g, use);
	r = writer_skip(&out, DISK_BLOCK_SIZE - writer_offset(&out), err);
	if (r == 0)
		r = write_descriptors(g, use, dirs, &out, err);
	if (r < 0)
		return r;
	r = writer_skip(
		&out, (uint64_t)g->block_bitmaps * DISK_BLOCK_SIZE - writer_offset(&out), err);
	for (uint32_t i = 0; r == 0 && i < g->groups; i++) {
		struct group_use group = group_use(g, use, i);
		r = write_bitmap(&out, group.used_blocks, group.blocks, err);
	}
	for (uint32_t i = 0; r == 0 && i < g->groups; i++) {
		struct group_use group = group_use(g, use, i);
		r = write_bitmap(&out, group.used_inodes, g->inodes_per_group, err);
	}
	return r < 0 ? r : writer_flush(&out, err);
}
