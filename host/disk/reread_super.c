#include <endian.h>
#include <errno.h>
#include <string.h>

#include "disk/reread.h"
#include "support/memory.h"

#define SUPER_OFFSET 1024
#define BITS_PER_BLOCK (8u * DISK_BLOCK_SIZE)

/* What files on the disk can look like: nothing else may be on a disk that is read. */
#define KNOWN_INCOMPAT                                                                             \
	(0u | EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |                     \
		EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG |                      \
		EXT4_FEATURE_INCOMPAT_EA_INODE)
/* Blocks would be counted in clusters, or belong to two files. */
#define REFUSED_RO_COMPAT (EXT4_FEATURE_RO_COMPAT_BIGALLOC | EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS)

/* Features that the kernel turns on by itself when the first file needs them. */
#define MAY_GAIN_COMPAT EXT2_FEATURE_COMPAT_EXT_ATTR
#define MAY_GAIN_RO_COMPAT (EXT2_FEATURE_RO_COMPAT_LARGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK)

struct same_field {
	const char *name;
	size_t offset;
	size_t len;
};

#define FIELD(member, text)                                                                        \
	{                                                                                          \
		text, offsetof(struct ext2_super_block, member),                                   \
			sizeof(((struct ext2_super_block *)0)->member)                             \
	}

/* What no mount changes. The rest is counts, times and the kernel's notes. */
static const struct same_field same_fields[] = {
	FIELD(s_magic, "magic"),
	FIELD(s_rev_level, "revision"),
	FIELD(s_inodes_count, "number of inodes"),
	FIELD(s_blocks_count, "number of blocks"),
	FIELD(s_blocks_count_hi, "number of blocks (high)"),
	FIELD(s_first_data_block, "first data block"),
	FIELD(s_log_block_size, "block size"),
	FIELD(s_log_cluster_size, "cluster size"),
	FIELD(s_blocks_per_group, "blocks per group"),
	FIELD(s_clusters_per_group, "clusters per group"),
	FIELD(s_inodes_per_group, "inodes per group"),
	FIELD(s_creator_os, "creator"),
	FIELD(s_first_ino, "first inode"),
	FIELD(s_inode_size, "inode size"),
	FIELD(s_block_group_nr, "block group number"),
	FIELD(s_feature_incompat, "incompatible features"),
	FIELD(s_uuid, "UUID"),
	FIELD(s_reserved_gdt_blocks, "reserved descriptor blocks"),
	FIELD(s_journal_inum, "journal inode"),
	FIELD(s_journal_dev, "journal device"),
	FIELD(s_desc_size, "descriptor size"),
	FIELD(s_first_meta_bg, "first meta block group"),
	FIELD(s_log_groups_per_flex, "flexible group size"),
	FIELD(s_checksum_type, "checksum type"),
};

static int check_same_fields(const struct ext2_super_block *base,
	const struct ext2_super_block *after, struct error *err)
{
	for (size_t i = 0; i < sizeof(same_fields) / sizeof(*same_fields); i++) {
		const struct same_field *f = &same_fields[i];
		const uint8_t *was = (const uint8_t *)base + f->offset;
		const uint8_t *is = (const uint8_t *)after + f->offset;
		if (memcmp(was, is, f->len) == 0)
			continue;
		uint32_t expected = 0;
		uint32_t found = 0;
		memcpy(&expected, was, f->len < 4 ? f->len : 4);
		memcpy(&found, is, f->len < 4 ? f->len : 4);
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"superblock: %s is 0x%x, expected 0x%x as before the run", f->name,
			le32toh(found), le32toh(expected));
	}
	return 0;
}

static int check_features(
	const char *kind, uint32_t base, uint32_t after, uint32_t may_gain, struct error *err)
{
	base = le32toh(base);
	after = le32toh(after);
	if ((after & ~may_gain) == (base & ~may_gain) && (base & ~after) == 0)
		return 0;
	return error_set(err, ERROR_GUEST, EUCLEAN,
		"superblock: %s features are 0x%x, expected 0x%x as before the run", kind, after,
		base);
}

/* Cleanly unmounted, and without errors that the kernel met. */
static int check_state(const struct ext2_super_block *s, struct error *err)
{
	unsigned state = le16toh(s->s_state);
	if ((state & EXT2_ERROR_FS) || s->s_error_count != 0)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"the kernel found %u errors in the file system, the first at inode %u, "
			"block %llu",
			le32toh(s->s_error_count), le32toh(s->s_first_error_ino),
			(unsigned long long)le64toh(s->s_first_error_block));
	if (!(state & EXT2_VALID_FS) || (state & EXT3_ORPHAN_FS))
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"the file system was not unmounted cleanly: its state is 0x%x, expected "
			"0x%x",
			state, EXT2_VALID_FS);
	if (s->s_last_orphan != 0)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"the file system was not unmounted cleanly: inode %u is on the orphan "
			"list",
			le32toh(s->s_last_orphan));
	return 0;
}

struct fact {
	const char *name;
	bool holds;
};

/* Whether the base is a file system of the shape that disk_assemble makes. */
static int check_base(const struct reread *r, const struct ext2_super_block *s, struct error *err)
{
	uint32_t ipg = le32toh(s->s_inodes_per_group);
	uint32_t bpg = le32toh(s->s_blocks_per_group);
	uint32_t desc_size = le16toh(s->s_desc_size);
	uint64_t groups = bpg == 0 ? 0 : (r->block_count + bpg - 1) / bpg;
	bool wide = le32toh(s->s_feature_incompat) & EXT4_FEATURE_INCOMPAT_64BIT;
	const struct fact facts[] = {
		{"magic", le16toh(s->s_magic) == EXT2_SUPER_MAGIC},
		{"revision", le32toh(s->s_rev_level) == EXT2_DYNAMIC_REV},
		{"block size", le32toh(s->s_log_block_size) == 2 && s->s_first_data_block == 0},
		{"inode size", le16toh(s->s_inode_size) == REREAD_INODE_SIZE},
		{"incompatible features", (le32toh(s->s_feature_incompat) & ~KNOWN_INCOMPAT) == 0},
		{"read-only features", (le32toh(s->s_feature_ro_compat) & REFUSED_RO_COMPAT) == 0},
		{"number of blocks",
			r->block_count > 1 &&
				r->block_count <= disk_view_size(r->view) / DISK_BLOCK_SIZE},
		{"blocks per group", bpg > 0 && bpg <= BITS_PER_BLOCK},
		{"inodes per group", ipg > 0 && ipg <= BITS_PER_BLOCK &&
					     ipg % (DISK_BLOCK_SIZE / REREAD_INODE_SIZE) == 0},
		{"number of inodes", groups * ipg == le32toh(s->s_inodes_count)},
		{"first inode", le32toh(s->s_first_ino) > EXT2_ROOT_INO},
		{"descriptor size",
			!wide || (desc_size >= EXT2_MIN_DESC_SIZE_64BIT && desc_size <= 1024 &&
					 (desc_size & (desc_size - 1)) == 0)},
	};
	for (size_t i = 0; i < sizeof(facts) / sizeof(*facts); i++) {
		if (!facts[i].holds)
			return error_set(err, ERROR_INPUT, EINVAL,
				"base disk: superblock: %s is not as layervm makes it",
				facts[i].name);
	}
	return 0;
}

/* The fields of a group descriptor say where its fixed blocks are; high halves are 0 if absent. */
struct group_places {
	uint64_t block_bitmap, inode_bitmap, inode_table;
};

static struct group_places group_places(const uint8_t *descriptor, size_t desc_size)
{
	struct ext4_group_desc d = {0};
	memcpy(&d, descriptor, desc_size < sizeof(d) ? desc_size : sizeof(d));
	return (struct group_places){
		.block_bitmap =
			(uint64_t)le32toh(d.bg_block_bitmap_hi) << 32 | le32toh(d.bg_block_bitmap),
		.inode_bitmap =
			(uint64_t)le32toh(d.bg_inode_bitmap_hi) << 32 | le32toh(d.bg_inode_bitmap),
		.inode_table =
			(uint64_t)le32toh(d.bg_inode_table_hi) << 32 | le32toh(d.bg_inode_table),
	};
}

static int read_groups(struct reread *r, size_t desc_size, struct error *err)
{
	size_t len = r->group_count * desc_size;
	uint64_t table_blocks = r->inodes_per_group / (DISK_BLOCK_SIZE / REREAD_INODE_SIZE);
	cleanup_free uint8_t *base = xmalloc(len);
	cleanup_free uint8_t *after = xmalloc(len);
	int code = disk_view_read_base(r->view, base, len, DISK_BLOCK_SIZE, err);
	if (code == 0)
		code = disk_view_read(r->view, after, len, DISK_BLOCK_SIZE, err);
	if (code < 0)
		return code;
	r->inode_tables = xcalloc(r->group_count, sizeof(*r->inode_tables));
	for (uint32_t i = 0; i < r->group_count; i++) {
		struct group_places was = group_places(base + i * desc_size, desc_size);
		struct group_places is = group_places(after + i * desc_size, desc_size);
		if (was.inode_table == 0 || was.inode_table >= r->block_count ||
			table_blocks > r->block_count - was.inode_table)
			return error_set(err, ERROR_INPUT, EINVAL,
				"base disk: group %u: its inode table is at block %llu of %llu", i,
				(unsigned long long)was.inode_table,
				(unsigned long long)r->block_count);
		if (was.block_bitmap != is.block_bitmap || was.inode_bitmap != is.inode_bitmap ||
			was.inode_table != is.inode_table)
			return error_set(err, ERROR_GUEST, EUCLEAN,
				"group %u: its bitmaps and inode table are at blocks %llu, %llu, "
				"%llu, expected %llu, %llu, %llu as before the run",
				i, (unsigned long long)is.block_bitmap,
				(unsigned long long)is.inode_bitmap,
				(unsigned long long)is.inode_table,
				(unsigned long long)was.block_bitmap,
				(unsigned long long)was.inode_bitmap,
				(unsigned long long)was.inode_table);
		r->inode_tables[i] = was.inode_table;
	}
	return 0;
}

int reread_geometry(struct reread *r, struct error *err)
{
	struct ext2_super_block base = {0};
	struct ext2_super_block after = {0};
	int code = disk_view_read_base(r->view, &base, sizeof(base), SUPER_OFFSET, err);
	if (code == 0)
		code = disk_view_read(r->view, &after, sizeof(after), SUPER_OFFSET, err);
	if (code < 0)
		return code;

	bool wide = le32toh(base.s_feature_incompat) & EXT4_FEATURE_INCOMPAT_64BIT;
	r->block_count = le32toh(base.s_blocks_count) |
			 (wide ? (uint64_t)le32toh(base.s_blocks_count_hi) << 32 : 0);
	code = check_base(r, &base, err);
	if (code == 0)
		code = check_same_fields(&base, &after, err);
	if (code == 0)
		code = check_features("compatible", base.s_feature_compat, after.s_feature_compat,
			MAY_GAIN_COMPAT, err);
	if (code == 0)
		code = check_features("read-only", base.s_feature_ro_compat,
			after.s_feature_ro_compat, MAY_GAIN_RO_COMPAT, err);
	if (code == 0)
		code = check_state(&after, err);
	if (code < 0)
		return code;

	r->inode_count = le32toh(base.s_inodes_count);
	r->inodes_per_group = le32toh(base.s_inodes_per_group);
	r->first_inode = le32toh(base.s_first_ino);
	/* check_base has seen that it is not zero. */
	r->group_count =
		r->inode_count / r->inodes_per_group; // NOLINT(clang-analyzer-core.DivideZero)
	return read_groups(r, wide ? le16toh(base.s_desc_size) : EXT2_MIN_DESC_SIZE, err);
}

static uint64_t inode_offset(const struct reread *r, uint32_t ino)
{
	uint32_t index = ino - 1;
	return r->inode_tables[index / r->inodes_per_group] * DISK_BLOCK_SIZE +
	       (uint64_t)(index % r->inodes_per_group) * REREAD_INODE_SIZE;
}

int reread_raw_inode(const struct reread *r, uint32_t ino, union raw_inode *raw, struct error *err)
{
	return disk_view_read(r->view, raw->bytes, sizeof(raw->bytes), inode_offset(r, ino), err);
}

int reread_raw_base_inode(
	const struct reread *r, uint32_t ino, union raw_inode *raw, struct error *err)
{
	return disk_view_read_base(
		r->view, raw->bytes, sizeof(raw->bytes), inode_offset(r, ino), err);
}
