#include <endian.h>
#include <errno.h>
#include <string.h>

#include "disk/reread.h"
#include "support/memory.h"

/* Logical block numbers of 32 bits. */
#define FILE_SIZE_MAX ((uint64_t)DISK_BLOCK_SIZE << 32)
#define FAST_SYMLINK_MAX (sizeof(((struct ext2_inode_large *)0)->i_block) - 1)
#define NSEC_PER_SEC 1000000000u

struct refused_flag {
	uint32_t flag;
	const char *words;
};

static const struct refused_flag refused_flags[] = {
	{EXT4_INLINE_DATA_FL, "has its data inside the inode"},
	{EXT4_ENCRYPT_FL, "is encrypted"},
	{EXT4_VERITY_FL, "has fs-verity data"},
	{EXT4_CASEFOLD_FL, "is a directory without regard to case"},
	{EXT4_EA_INODE_FL, "is the value of an extended attribute"},
};

static uint64_t size_of(const union raw_inode *raw)
{
	return (uint64_t)le32toh(raw->fields.i_size_high) << 32 | le32toh(raw->fields.i_size);
}

static uint64_t xattr_block(const union raw_inode *raw)
{
	return (uint64_t)le16toh(raw->fields.osd2.linux2.l_i_file_acl_high) << 32 |
	       le32toh(raw->fields.i_file_acl);
}

/* Whether the inode has room for the fields up to and without `end`. */
static bool has_extra(const union raw_inode *raw, size_t end)
{
	return EXT2_GOOD_OLD_INODE_SIZE + (size_t)le16toh(raw->fields.i_extra_isize) >= end;
}

static int check_raw(const union raw_inode *raw, struct error *err)
{
	const struct ext2_inode_large *f = &raw->fields;
	if (f->i_links_count == 0)
		return error_set(err, ERROR_GUEST, EUCLEAN, "it is free, but has a name");
	unsigned extra = le16toh(f->i_extra_isize);
	if (extra > REREAD_INODE_SIZE - EXT2_GOOD_OLD_INODE_SIZE || extra % 4 != 0)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"its extra size is %u, expected a multiple of 4 up to %d", extra,
			REREAD_INODE_SIZE - EXT2_GOOD_OLD_INODE_SIZE);
	for (size_t i = 0; i < sizeof(refused_flags) / sizeof(*refused_flags); i++) {
		if (le32toh(f->i_flags) & refused_flags[i].flag)
			return error_set(err, ERROR_GUEST, EUCLEAN,
				"it %s (flags 0x%x), which is not supported",
				refused_flags[i].words, le32toh(f->i_flags));
	}
	return 0;
}

/* Seconds of 32 bits, signed; the extra word adds 2 high bits and nanoseconds. */
static int decode_mtime(const union raw_inode *raw, struct inode *inode, struct error *err)
{
	inode->mtime_sec = (int32_t)le32toh(raw->fields.i_mtime);
	if (!has_extra(raw, offsetof(struct ext2_inode_large, i_atime_extra)))
		return 0;
	uint32_t extra = le32toh(raw->fields.i_mtime_extra);
	inode->mtime_sec += (int64_t)(extra & EXT4_EPOCH_MASK) << 32;
	inode->mtime_nsec = extra >> EXT4_EPOCH_BITS;
	if (inode->mtime_nsec >= NSEC_PER_SEC)
		return error_set(err, ERROR_GUEST, EUCLEAN, "its mtime has %u nanoseconds",
			inode->mtime_nsec);
	return 0;
}

/* The kernel's old_decode_dev and new_decode_dev (linux/kdev_t.h). */
static void decode_device(const union raw_inode *raw, struct inode *inode)
{
	uint32_t old = le32toh(raw->fields.i_block[0]);
	uint32_t dev = le32toh(raw->fields.i_block[1]);
	if (old != 0) {
		inode->device.major = old >> 8 & 0xff;
		inode->device.minor = old & 0xff;
	} else {
		inode->device.major = dev >> 8 & 0xfff;
		inode->device.minor = (dev & 0xff) | (dev >> 12 & 0xfff00);
	}
}

static int decode_symlink(struct reread *r, const union raw_inode *raw,
	const struct extents *extents, struct inode *inode, struct error *err)
{
	uint64_t size = size_of(raw);
	bool slow = le32toh(raw->fields.i_flags) & EXT4_EXTENTS_FL;
	uint64_t max = slow ? DISK_BLOCK_SIZE - 1 : FAST_SYMLINK_MAX;
	if (size == 0 || size > max)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"the symlink's target has %llu bytes, expected 1 to %llu",
			(unsigned long long)size, (unsigned long long)max);
	char *target = tree_alloc(r->tree, (size_t)size + 1);
	if (!slow) {
		memcpy(target, raw->fields.i_block, (size_t)size);
	} else {
		if (extents->count == 0 || extents->items[0].logical != 0)
			return error_set(err, ERROR_GUEST, EUCLEAN,
				"the symlink has no block for its target");
		int code = disk_view_read(
			r->view, target, (size_t)size, extents->items[0].offset, err);
		if (code < 0)
			return code;
	}
	if (memchr(target, '\0', (size_t)size) != NULL)
		return error_set(
			err, ERROR_GUEST, EUCLEAN, "the symlink's target has a NUL byte in it");
	inode->size = size;
	inode->target = target;
	return 0;
}

/* Segments up to the file's size: there may be blocks beyond it. */
static void set_segments(struct reread *r, const struct extents *extents, struct inode *inode)
{
	size_t count = 0;
	while (count < extents->count && extents->items[count].logical < inode->size)
		count++;
	if (count == 0)
		return;
	struct segment *segments = tree_alloc(r->tree, count * sizeof(*segments));
	memcpy(segments, extents->items, count * sizeof(*segments));
	struct segment *last = &segments[count - 1];
	if (last->length > inode->size - last->logical)
		last->length = inode->size - last->logical;
	inode->segments = segments;
	inode->segment_count = (uint32_t)count;
	inode->source = disk_view_source(r->view);
}

static int check_file_size(uint64_t size, struct error *err)
{
	if (size <= FILE_SIZE_MAX)
		return 0;
	return error_set(err, ERROR_GUEST, EUCLEAN,
		"the file's size is %llu, at most %llu is possible", (unsigned long long)size,
		(unsigned long long)FILE_SIZE_MAX);
}

/* old: an inode with the same data, or NULL. */
static int decode(struct reread *r, const union raw_inode *raw, const struct extents *extents,
	const struct inode *old, struct inode *inode, struct error *err)
{
	const struct ext2_inode_large *f = &raw->fields;
	inode->uid = le16toh(f->i_uid) | (uint32_t)le16toh(f->osd2.linux2.l_i_uid_high) << 16;
	inode->gid = le16toh(f->i_gid) | (uint32_t)le16toh(f->osd2.linux2.l_i_gid_high) << 16;
	/* The last number means "no change" to chown(2): nobody can own a file by it. */
	if (inode->uid == UINT32_MAX || inode->gid == UINT32_MAX)
		return error_set(err, ERROR_GUEST, EUCLEAN, "its owner %u:%u is no pair of ids",
			inode->uid, inode->gid);
	int code = decode_mtime(raw, inode, err);
	if (code == 0)
		code = reread_xattrs(r, raw, &inode->xattrs, err);
	if (code < 0)
		return code;
	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		inode->size = size_of(raw);
		code = check_file_size(inode->size, err);
		if (code == 0 && old != NULL && S_ISREG(old->mode) && old->size == inode->size) {
			inode->source = old->source;
			inode->segments = old->segments;
			inode->segment_count = old->segment_count;
		} else if (code == 0) {
			set_segments(r, extents, inode);
		}
		return code;
	case S_IFLNK:
		return decode_symlink(r, raw, extents, inode, err);
	case S_IFCHR:
	case S_IFBLK:
		decode_device(raw, inode);
		return 0;
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return error_set(err, ERROR_GUEST, EUCLEAN, "its mode is 0%o, of no known type",
			inode->mode);
	}
}

/*
 * Clears what is no change: the other times, generation and version, counts that follow from the
 * rest; of a directory what says where its names are.
 */
static void clear_uncounted(union raw_inode *raw)
{
	struct ext2_inode_large *f = &raw->fields;
	f->i_atime = f->i_ctime = f->i_dtime = 0;
	f->i_links_count = 0;
	f->i_blocks = 0;
	f->osd2.linux2.l_i_blocks_hi = 0;
	f->osd1.linux1.l_i_version = 0;
	f->i_generation = 0;
	if (has_extra(raw, offsetof(struct ext2_inode_large, i_projid)))
		f->i_ctime_extra = f->i_atime_extra = f->i_crtime = f->i_crtime_extra =
			f->i_version_hi = 0;
	if (S_ISDIR(le16toh(f->i_mode))) {
		f->i_size = f->i_size_high = 0;
		memset(f->i_block, 0, sizeof(f->i_block));
	}
}

static bool counts_same(const union raw_inode *raw, const union raw_inode *base)
{
	union raw_inode a = *raw;
	union raw_inode b = *base;
	clear_uncounted(&a);
	clear_uncounted(&b);
	return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}

static bool has_extents(const union raw_inode *raw)
{
	unsigned mode = le16toh(raw->fields.i_mode);
	return S_ISREG(mode) || (S_ISLNK(mode) && (le32toh(raw->fields.i_flags) & EXT4_EXTENTS_FL));
}

static int read_inode(struct reread *r, uint32_t ino, struct inode **out, struct error *err)
{
	union raw_inode raw;
	union raw_inode base;
	int code = reread_raw_inode(r, ino, &raw, err);
	if (code == 0)
		code = reread_raw_base_inode(r, ino, &base, err);
	if (code == 0)
		code = check_raw(&raw, err);
	if (code < 0)
		return code;

	cleanup_extents struct extents extents = {0};
	if (has_extents(&raw))
		code = reread_extents(r, &raw, &extents, err);
	if (code < 0)
		return code;
	struct inode *old = tree_numbered(r->tree, ino);
	bool same_blocks = !extents.held && memcmp(raw.fields.i_block, base.fields.i_block,
						    sizeof(raw.fields.i_block)) == 0;
	uint64_t acl = xattr_block(&raw);
	if (old != NULL && (same_blocks || !has_extents(&raw)) && counts_same(&raw, &base) &&
		(acl == 0 || !disk_view_holds(r->view, acl))) {
		*out = old;
		return 0;
	}
	struct inode *inode = tree_inode_new(r->tree, le16toh(raw.fields.i_mode));
	inode->ino = ino;
	code = decode(r, &raw, &extents, same_blocks ? old : NULL, inode, err);
	if (code == 0)
		*out = inode;
	return code;
}

int reread_inode(struct reread *r, uint32_t ino, struct inode **out, struct error *err)
{
	int code = read_inode(r, ino, out, err);
	return code < 0 ? error_wrap(err, code, "inode %u", ino) : 0;
}
