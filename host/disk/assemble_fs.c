#include "disk/assemble_fs.h"

#include <errno.h>
#include <string.h>

#include "disk/assemble_directory.h"
#include "disk/disk.h"

/* "layervm" and zeros, in the form of a version 8 UUID (RFC 9562). */
static const uint8_t disk_uuid[16] = {
	'l', 'a', 'y', 'e', 'r', 'v', 0x80, 'm', 0x80, 0, 0, 0, 0, 0, 0, 1};

/* The time of all that libext2fs dates, as zero would mean the clock's. */
#define DISK_TIME 1

/* Extents in a block, and in an inode. */
#define IN_NODE ((DISK_BLOCK_SIZE - sizeof(struct ext3_extent_header)) / sizeof(struct ext3_extent))
#define IN_INODE 4u

_Static_assert(sizeof(struct assemble_inode) == GEOMETRY_INODE_SIZE, "ext4 on-disk layout");
_Static_assert(IN_NODE == 340, "ext4 on-disk layout");

static struct ext2_super_block super_of(const struct geometry *g)
{
	return (struct ext2_super_block){
		.s_inodes_count = g->groups * g->inodes_per_group,
		.s_blocks_count = g->blocks,
		.s_log_block_size = 2, /* 1024 << 2 */
		.s_blocks_per_group = g->blocks_per_group,
		.s_max_mnt_count = -1,
		/* A damaged disk must end the run, not turn read-only under the script. */
		.s_errors = EXT2_ERRORS_PANIC,
		.s_rev_level = EXT2_DYNAMIC_REV,
		.s_first_ino = GEOMETRY_FIRST_INO,
		.s_inode_size = GEOMETRY_INODE_SIZE,
		.s_feature_compat = EXT2_FEATURE_COMPAT_EXT_ATTR | EXT2_FEATURE_COMPAT_DIR_INDEX |
				    EXT4_FEATURE_COMPAT_SPARSE_SUPER2,
		.s_feature_incompat =
			EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |
			EXT4_FEATURE_INCOMPAT_FLEX_BG | EXT4_FEATURE_INCOMPAT_EA_INODE,
		/* No checksums: whatever writes to the disk would have to keep them right. */
		.s_feature_ro_compat =
			EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
			EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
			EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE,
		.s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL,
		.s_log_groups_per_flex = 4,
	};
}

/* What ext2fs_initialize leaves to its caller, takes from the clock or from the machine. */
static void fix_super(ext2_filsys fs)
{
	struct ext2_super_block *super = fs->super;
	fs->now = DISK_TIME;
	super->s_mkfs_time = DISK_TIME;
	super->s_lastcheck = DISK_TIME;
	super->s_def_hash_version = EXT2_HASH_HALF_MD4;
	super->s_flags = EXT2_FLAGS_UNSIGNED_HASH;
	memcpy(super->s_uuid, disk_uuid, sizeof(super->s_uuid));
	memcpy(super->s_hash_seed, directory_hash_seed, sizeof(super->s_hash_seed));
	ext2fs_init_csum_seed(fs); /* of the UUID, for values with an inode of their own */
}

/* libext2fs needs a block: the next one of the data. */
static errcode_t next_block(ext2_filsys fs, blk64_t goal, blk64_t *block)
{
	struct assemble_fs *f = fs->priv_data;
	(void)goal;
	*block = assemble_fs_next(f);
	if (*block >= ext2fs_blocks_count(fs->super))
		return EXT2_ET_BLOCK_ALLOC_FAIL;
	/* The library marks this one: what was written before it is marked as a whole. */
	if (*block > f->marked)
		ext2fs_block_alloc_stats_range(fs, f->marked, (blk_t)(*block - f->marked), +1);
	f->marked = *block + 1;
	return 0;
}

static void place_tables(ext2_filsys fs, const struct geometry *g)
{
	uint32_t table_blocks = fs->inode_blocks_per_group;
	for (uint32_t i = 0; i < g->groups; i++) {
		ext2fs_block_bitmap_loc_set(fs, i, g->block_bitmaps + i);
		ext2fs_inode_bitmap_loc_set(fs, i, g->inode_bitmaps + i);
		ext2fs_inode_table_loc_set(fs, i, g->inode_table + (blk64_t)i * table_blocks);
	}
}

/* What a file without blocks has in i_block, which need not be made for each of them. */
static int make_empty(struct assemble_fs *f, struct error *err)
{
	ext2_extent_handle_t handle;
	errcode_t code =
		ext2fs_extent_open2(f->fs, EXT2_ROOT_INO, (struct ext2_inode *)&f->empty, &handle);
	if (code != 0)
		return assemble_io_error(&f->io, code, "begin an extent tree", err);
	ext2fs_extent_free(handle);
	return 0;
}

int assemble_fs_open(struct assemble_fs *f, int fd, const struct geometry *g, struct error *err)
{
	struct ext2_super_block super = super_of(g);
	assemble_io_init(&f->io, fd, (uint64_t)g->inode_table * DISK_BLOCK_SIZE,
		(uint64_t)g->data * DISK_BLOCK_SIZE);
	/* The flag is for bitmaps as trees, which find a free inode without a search bit by bit. */
	errcode_t code = ext2fs_initialize(f->io.name, EXT2_FLAG_64BITS, &super,
		(io_manager)(uintptr_t)&assemble_io_manager, &f->fs);
	if (code != 0)
		return assemble_io_error(&f->io, code, "begin a file system", err);
	ext2_filsys fs = f->fs;
	if (ext2fs_blocks_count(fs->super) != g->blocks || fs->group_desc_count != g->groups ||
		fs->super->s_inodes_per_group != g->inodes_per_group)
		return error_set(err, ERROR_INTERNAL, EINVAL,
			"libext2fs lays out %llu blocks in %u groups of %u inodes, expected %u in "
			"%u of %u",
			(unsigned long long)ext2fs_blocks_count(fs->super), fs->group_desc_count,
			fs->super->s_inodes_per_group, g->blocks, g->groups, g->inodes_per_group);
	fs->priv_data = f;
	fs->get_alloc_block = next_block;
	fix_super(fs);
	place_tables(fs, g);
	f->marked = g->block_bitmaps; /* superblock and descriptors are marked by the library */
	for (ext2_ino_t ino = 1; ino < GEOMETRY_FIRST_INO; ino++)
		if (ino != EXT2_ROOT_INO)
			ext2fs_inode_alloc_stats2(fs, ino, +1, 0);
	return make_empty(f, err);
}

void assemble_fs_free(struct assemble_fs *f)
{
	if (f->fs != NULL)
		ext2fs_free(f->fs);
	assemble_io_free(&f->io);
}

uint64_t assemble_extent_count(uint64_t blocks)
{
	return blocks / EXT_INIT_MAX_LEN + (blocks % EXT_INIT_MAX_LEN != 0);
}

/*
 * A full node that is appended to gives its last entry to the new one, so that all but the last
 * two of a level have one entry less than fits.
 */
uint64_t assemble_extent_nodes(uint64_t extents)
{
	uint64_t total = 0;
	for (uint64_t entries = extents; entries > IN_INODE;) {
		uint64_t more = entries > IN_NODE ? entries - IN_NODE : 0;
		entries = 1 + more / (IN_NODE - 1) + (more % (IN_NODE - 1) != 0);
		total += entries;
	}
	return total;
}

void assemble_extents_open(struct assemble_extents *x, struct assemble_fs *f, uint32_t ino,
	uint64_t first, struct assemble_inode *inode)
{
	*x = (struct assemble_extents){.f = f, .inode = inode, .ino = ino};
	memcpy(inode->fields.i_block, f->empty.i_block, sizeof(inode->fields.i_block));
	inode->fields.i_flags |= f->empty.i_flags;
	ext2fs_iblk_set(f->fs, (struct ext2_inode *)&inode->fields, assemble_fs_next(f) - first);
}

/* The library writes the inode after each extent: once, at its end, is enough. */
static errcode_t write_later(ext2_filsys fs, ext2_ino_t ino, struct ext2_inode *inode)
{
	(void)fs;
	(void)ino;
	(void)inode;
	return 0;
}

int assemble_extents_add(
	struct assemble_extents *x, const struct assemble_run *run, struct error *err)
{
	ext2_filsys fs = x->f->fs;
	struct ext2_inode *inode = (struct ext2_inode *)&x->inode->fields;
	errcode_t code = 0;
	int after = x->handle != NULL ? EXT2_EXTENT_INSERT_AFTER : 0;
	if (x->handle == NULL)
		code = ext2fs_extent_open2(fs, x->ino, inode, &x->handle);
	fs->write_inode = write_later;
	for (uint64_t done = 0; code == 0 && done < run->blocks;) {
		uint64_t left = run->blocks - done;
		struct ext2fs_extent extent = {
			.e_lblk = run->logical + done,
			.e_pblk = run->physical + done,
			.e_len = (uint32_t)(left < EXT_INIT_MAX_LEN ? left : EXT_INIT_MAX_LEN),
		};
		code = ext2fs_extent_insert(x->handle, after, &extent);
		after = EXT2_EXTENT_INSERT_AFTER;
		done += extent.e_len;
	}
	fs->write_inode = NULL;
	return code == 0 ? 0 : assemble_io_error(&x->f->io, code, "add an extent", err);
}

void assemble_extents_close(struct assemble_extents *x)
{
	ext2fs_extent_free(x->handle);
	x->handle = NULL;
}

int assemble_fs_map(struct assemble_fs *f, uint32_t ino, uint64_t first,
	struct assemble_inode *inode, struct error *err)
{
	const struct assemble_run run = {.physical = first, .blocks = assemble_fs_next(f) - first};
	cleanup_extents_writer struct assemble_extents extents;
	assemble_extents_open(&extents, f, ino, first, inode);
	return assemble_extents_add(&extents, &run, err);
}

int assemble_fs_put(
	struct assemble_fs *f, uint32_t ino, struct assemble_inode *inode, struct error *err)
{
	errcode_t code = ext2fs_write_inode_full(
		f->fs, ino, (struct ext2_inode *)&inode->fields, GEOMETRY_INODE_SIZE);
	if (code != 0)
		return assemble_io_error(&f->io, code, "write an inode", err);
	ext2fs_inode_alloc_stats2(f->fs, ino, +1, LINUX_S_ISDIR(inode->fields.i_mode));
	return 0;
}

int assemble_fs_finish(struct assemble_fs *f, struct error *err)
{
	uint64_t end = assemble_fs_next(f);
	if (end > f->marked)
		ext2fs_block_alloc_stats_range(f->fs, f->marked, (blk_t)(end - f->marked), +1);
	f->marked = end;
	errcode_t code = ext2fs_close2(f->fs, EXT2_FLAG_FLUSH_NO_SYNC);
	if (code == 0)
		f->fs = NULL;
	/* Some of the library's functions lose an error on the way. */
	if (code == 0 && f->io.failed != 0)
		code = EIO;
	if (code != 0)
		return assemble_io_error(&f->io, code, "finish the file system", err);
	return assemble_io_flush(&f->io, err);
}
