/*
 * The whole tree is known before the first byte is written. So the first walk gives every inode
 * its number and counts blocks, the disk is laid out once, and the second walk writes data and
 * inodes in the order in which they lie on the disk: nothing is searched for or moved.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <ext2fs/ext2fs.h>

#include "disk/assemble_directory.h"
#include "disk/assemble_file.h"
#include "disk/assemble_fs.h"
#include "disk/assemble_geometry.h"
#include "disk/assemble_xattrs.h"
#include "disk/disk.h"
#include "disk/overlay.h"
#include "support/interrupt.h"
#include "support/memory.h"

/* ext4's limits of an inode: names, and the times that 34 bits of seconds tell. */
#define LINKS_MAX 65000
#define MTIME_MIN INT32_MIN
#define MTIME_MAX (((int64_t)1 << 34) + INT32_MIN - 1)

/* A symlink's target is in the inode with a NUL behind it, or else in one block. */
#define FAST_SYMLINK_MAX (EXT2_N_BLOCKS * 4 - 1)
#define SYMLINK_MAX (DISK_BLOCK_SIZE - 1)

/* Device numbers of the kernel's new encoding (new_encode_dev). */
#define MAJOR_MAX 0xfff
#define MINOR_MAX 0xfffff

struct assembly {
	struct tree *tree;
	struct source *home; /* where files are read from afterwards; NULL: from where they were */
	uint32_t *moves;     /* with home: by inode number, the block where a file's data begins */
	struct geometry geometry;
	struct geometry_use use;
	uint32_t last_ino; /* the highest number given so far */
	uint64_t values;   /* of attributes, which get inodes behind the tree's */
	struct assemble_fs fs;
	struct directory directory; /* used for one after another */
};

static void assembly_free(struct assembly *a)
{
	free(a->moves);
	assemble_fs_free(&a->fs);
	directory_free(&a->directory);
}
#define cleanup_assembly __attribute__((cleanup(assembly_free)))

/*
 * Calls visit for every inode once, by its first name, parents before children, in a sorted
 * tree. An error gets the path in front, unless the inode has no part in it.
 */
static int for_each_inode(struct assembly *a,
	int (*visit)(struct assembly *, const struct dentry *, struct error *), struct error *err)
{
	struct dentry *root = tree_root(a->tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (d->inode == NULL || d->inode->names != d)
			continue;
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		r = visit(a, d, err);
		if (r < 0 && err->kind != ERROR_INTERRUPTED && err->kind != ERROR_OUTPUT) {
			cleanup_free char *path = tree_path(d);
			return error_wrap(err, r, "/%s", path);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* Number 2 is the root's, those up to GEOMETRY_FIRST_INO are reserved. */
static uint32_t next_ino(const struct assembly *a)
{
	if (a->last_ino == 0)
		return EXT2_ROOT_INO;
	return a->last_ino == EXT2_ROOT_INO ? GEOMETRY_FIRST_INO : a->last_ino + 1;
}

/*
 * ext4 has no times before 1901-12-13 or after 2446-05-10. The nearest one goes into the tree as
 * well: what is on the disk is what the tree says, and no change that the guest made.
 */
static void clamp_mtime(struct inode *inode)
{
	if (inode->mtime_sec >= MTIME_MIN && inode->mtime_sec <= MTIME_MAX)
		return;
	inode->mtime_sec = inode->mtime_sec < MTIME_MIN ? MTIME_MIN : MTIME_MAX;
	inode->mtime_nsec = 0;
}

static int plan_symlink(const struct inode *inode, uint64_t *blocks, struct error *err)
{
	if (inode->size == 0 || inode->size > SYMLINK_MAX)
		return error_set(err, ERROR_LIMIT, ENAMETOOLONG,
			"is a symlink with a target of %llu bytes; ext4 takes 1 to %d",
			(unsigned long long)inode->size, SYMLINK_MAX);
	*blocks = inode->size > FAST_SYMLINK_MAX;
	return 0;
}

static int plan_device(const struct inode *inode, struct error *err)
{
	if (inode->device.major > MAJOR_MAX || inode->device.minor > MINOR_MAX)
		return error_set(err, ERROR_LIMIT, EINVAL,
			"is device %u:%u; Linux has numbers up to %d:%d", inode->device.major,
			inode->device.minor, MAJOR_MAX, MINOR_MAX);
	return 0;
}

/* *blocks: what an inode takes, for its content and what leads there. */
static int plan_content(
	struct assembly *a, const struct dentry *dentry, uint64_t *blocks, struct error *err)
{
	const struct inode *inode = dentry->inode;
	int r = 0;
	*blocks = 0;
	switch (inode->mode & S_IFMT) {
	case S_IFDIR:
		r = directory_plan(&a->directory, dentry, err);
		*blocks = a->directory.blocks +
			  assemble_extent_nodes(assemble_extent_count(a->directory.blocks));
		return r;
	case S_IFREG:
		return file_plan(inode, blocks, err);
	case S_IFLNK:
		return plan_symlink(inode, blocks, err);
	case S_IFCHR:
	case S_IFBLK:
		return plan_device(inode, err);
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return error_set(
			err, ERROR_INTERNAL, EINVAL, "is of no known type (mode 0%o)", inode->mode);
	}
}

static int plan_inode(struct assembly *a, const struct dentry *dentry, struct error *err)
{
	struct inode *inode = dentry->inode;
	struct xattrs_plan xattrs = {0};
	uint64_t blocks;
	if (!inode_is_dir(inode) && inode->nlink > LINKS_MAX)
		return error_set(err, ERROR_LIMIT, EMLINK,
			"is one of %u names of a file; ext4 takes %d", inode->nlink, LINKS_MAX);
	int r = plan_content(a, dentry, &blocks, err);
	if (r == 0)
		r = xattrs_plan(inode->xattrs, &xattrs, err);
	if (r < 0)
		return r;
	clamp_mtime(inode);
	a->last_ino = next_ino(a);
	tree_set_number(a->tree, inode, a->last_ino);
	a->use.data_blocks += blocks + xattrs.blocks + xattrs.value_blocks;
	a->values += xattrs.inodes;
	return 0;
}

static int write_directory(struct assembly *a, const struct dentry *dentry,
	struct assemble_inode *raw, struct error *err)
{
	struct directory *d = &a->directory;
	int r = directory_plan(d, dentry, err);
	if (r < 0)
		return r;
	uint64_t first = assemble_fs_next(&a->fs);
	uint64_t size = (uint64_t)d->blocks * DISK_BLOCK_SIZE;
	raw->fields.i_size = (uint32_t)size;
	raw->fields.i_size_high = (uint32_t)(size >> 32);
	if (d->indexed)
		raw->fields.i_flags |= EXT2_INDEX_FL;
	/* dir_nlink: a number that does not fit is 1. */
	raw->fields.i_links_count = d->subdirs > LINKS_MAX - 2 ? 1 : (uint16_t)(d->subdirs + 2);
	r = directory_write(d, &a->fs, err);
	return r < 0 ? r : assemble_fs_map(&a->fs, dentry->inode->ino, first, raw, err);
}

static int write_symlink(struct assembly *a, const struct inode *inode, struct assemble_inode *raw,
	struct error *err)
{
	if (inode->size <= FAST_SYMLINK_MAX) {
		memcpy(raw->fields.i_block, inode->target, (size_t)inode->size);
		return 0;
	}
	uint64_t first = assemble_fs_next(&a->fs);
	void *block;
	int r = writer_room(&a->fs.io.data, DISK_BLOCK_SIZE, &block, err);
	if (r < 0)
		return r;
	memcpy(block, inode->target, (size_t)inode->size);
	return assemble_fs_map(&a->fs, inode->ino, first, raw, err);
}

/* Numbers up to 255:255 are in the first word, as ext2 had it (old_encode_dev), others behind. */
static void encode_device(const struct inode *inode, struct ext2_inode_large *raw)
{
	uint32_t major = inode->device.major, minor = inode->device.minor;
	if (major < 256 && minor < 256)
		raw->i_block[0] = major << 8 | minor;
	else
		raw->i_block[1] = (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

static int write_file(struct assembly *a, const struct inode *inode, struct assemble_inode *raw,
	struct error *err)
{
	if (a->moves != NULL)
		a->moves[inode->ino] = (uint32_t)assemble_fs_next(&a->fs);
	return file_write_data(inode, &a->fs, raw, err);
}

static int write_content(struct assembly *a, const struct dentry *dentry,
	struct assemble_inode *raw, struct error *err)
{
	const struct inode *inode = dentry->inode;
	switch (inode->mode & S_IFMT) {
	case S_IFDIR:
		return write_directory(a, dentry, raw, err);
	case S_IFREG:
		return write_file(a, inode, raw, err);
	case S_IFLNK:
		return write_symlink(a, inode, raw, err);
	case S_IFCHR:
	case S_IFBLK:
		encode_device(inode, &raw->fields);
		return 0;
	default:
		return 0;
	}
}

/* What the tree knows of an inode; times other than mtime are zero. */
static void fill_fields(struct ext2_inode_large *raw, const struct inode *inode)
{
	/* Two bits beside the nanoseconds extend the signed 32 bits of seconds. */
	int32_t seconds = (int32_t)inode->mtime_sec;
	uint32_t epoch = (uint32_t)((inode->mtime_sec - seconds) >> 32) & EXT4_EPOCH_MASK;
	raw->i_mode = (uint16_t)inode->mode;
	raw->i_uid = (uint16_t)inode->uid;
	raw->osd2.linux2.l_i_uid_high = (uint16_t)(inode->uid >> 16);
	raw->i_gid = (uint16_t)inode->gid;
	raw->osd2.linux2.l_i_gid_high = (uint16_t)(inode->gid >> 16);
	raw->i_size = (uint32_t)inode->size;
	raw->i_size_high = (uint32_t)(inode->size >> 32);
	raw->i_mtime = (uint32_t)seconds;
	raw->i_mtime_extra = inode->mtime_nsec << EXT4_EPOCH_BITS | epoch;
	raw->i_links_count = (uint16_t)inode->nlink;
	raw->i_extra_isize = sizeof(*raw) - EXT2_GOOD_OLD_INODE_SIZE;
}

static int write_inode(struct assembly *a, const struct dentry *dentry, struct error *err)
{
	const struct inode *inode = dentry->inode;
	struct assemble_inode raw = {0};
	struct xattrs_plan xattrs = {0};
	fill_fields(&raw.fields, inode);
	int r = write_content(a, dentry, &raw, err);
	if (r == 0)
		r = assemble_fs_put(&a->fs, inode->ino, &raw, err);
	if (r == 0)
		r = xattrs_plan(inode->xattrs, &xattrs, err);
	if (r < 0 || xattrs.inodes != 0)
		return r;
	return xattrs_write(&a->fs, inode->ino, inode->xattrs, &xattrs, err);
}

/* Once all numbers of the tree are in use: values take those behind them. */
static int write_values(struct assembly *a, const struct dentry *dentry, struct error *err)
{
	const struct inode *inode = dentry->inode;
	struct xattrs_plan xattrs = {0};
	int r = xattrs_plan(inode->xattrs, &xattrs, err);
	if (r < 0 || xattrs.inodes == 0)
		return r;
	return xattrs_write(&a->fs, inode->ino, inode->xattrs, &xattrs, err);
}

static uint64_t disk_bytes(const struct assembly *a)
{
	return (uint64_t)a->geometry.blocks * DISK_BLOCK_SIZE;
}

/* Lays the disk out. Fewer inodes are better than a disk of more than max bytes. */
static int plan_disk(struct assembly *a, uint64_t room, uint64_t max, struct error *err)
{
	struct geometry_room want = {.bytes = room, .bytes_per_inode = GEOMETRY_BYTES_PER_INODE};
	int r = geometry_plan(&a->geometry, &a->use, &want, err);
	if (r < 0 || disk_bytes(a) <= max)
		return r;
	want.bytes_per_inode = GEOMETRY_BYTES_PER_INODE_MOST;
	return geometry_plan(&a->geometry, &a->use, &want, err);
}

static int plan(struct assembly *a, uint64_t room, uint64_t max, struct error *err)
{
	tree_forget_numbers(a->tree);
	int r = for_each_inode(a, plan_inode, err);
	if (r < 0)
		return r;
	a->use.inodes = a->last_ino > EXT2_ROOT_INO ? a->last_ino : GEOMETRY_FIRST_INO - 1;
	a->use.inodes += a->values;
	return plan_disk(a, room, max, err);
}

static int write_all(struct assembly *a, int fd, struct error *err)
{
	if (a->home != NULL)
		a->moves = xcalloc((size_t)a->last_ino + 1, sizeof(*a->moves));
	int r = assemble_fs_open(&a->fs, fd, &a->geometry, err);
	if (r == 0)
		r = for_each_inode(a, write_inode, err);
	if (r == 0 && a->values != 0)
		r = for_each_inode(a, write_values, err);
	if (r < 0)
		return r;
	uint64_t written = assemble_fs_next(&a->fs) - a->geometry.data;
	if (written != a->use.data_blocks)
		return error_set(err, ERROR_INTERNAL, EIO,
			"the tree took %llu blocks of the disk instead of %llu as planned",
			(unsigned long long)written, (unsigned long long)a->use.data_blocks);
	return assemble_fs_finish(&a->fs, err);
}

/* Once all of the disk is written: before, files may be needed from where they were once more. */
static void move_files(struct assembly *a)
{
	struct dentry *root = tree_root(a->tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		struct inode *inode = d->inode;
		if (inode != NULL && inode->names == d && S_ISREG(inode->mode))
			file_move(a->tree, inode, a->home, a->moves[inode->ino]);
	}
}

int disk_assemble(struct tree *tree, int fd, const struct disk_options *options, uint64_t *size,
	struct error *err)
{
	cleanup_assembly struct assembly a = {.tree = tree, .home = options->home};
	uint64_t max = options->file_size != 0 && options->file_size < OVERLAY_SIZE_MAX
			       ? options->file_size
			       : OVERLAY_SIZE_MAX;
	tree_sort(tree);
	int r = plan(&a, options->room, max, err);
	if (r < 0)
		return r;
	*size = disk_bytes(&a);
	if (*size > max)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"the guest's disk needs %llu bytes, of which %llu are free room; the most "
			"is %llu: a smaller diskSize or image is needed",
			(unsigned long long)*size, (unsigned long long)options->room,
			(unsigned long long)max);
	if (options->file_size == 0 && ftruncate(fd, (off_t)*size) < 0)
		return error_set_errno(err, ERROR_OUTPUT,
			"cannot make the guest's disk of %llu bytes", (unsigned long long)*size);
	r = write_all(&a, fd, err);
	if (r == 0 && a.home != NULL)
		move_files(&a);
	return r;
}
