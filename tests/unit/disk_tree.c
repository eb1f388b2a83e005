#include "disk_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "disk/disk.h"
#include "support/buffer.h"
#include "support/memory.h"

#include "disk_names.h"

static void read_data(ext2_filsys fs, uint32_t ino, struct tree *tree, struct inode *inode)
{
	cleanup_free uint8_t *data = xmalloc(inode->size + 1);
	ext2_file_t file;
	unsigned got = 0;
	check(ext2fs_file_open(fs, ino, 0, &file));
	if (inode->size > 0)
		check(ext2fs_file_read(file, data, (unsigned)inode->size, &got));
	check(ext2fs_file_close(file));
	assert_int_equal(got, inode->size);
	inode_set_data(tree, inode, tree_own_source(tree, source_from_bytes(data, got)), 0, got);
}

static void read_target(ext2_filsys fs, uint32_t ino, struct ext2_inode_large *raw,
	struct tree *tree, struct inode *inode)
{
	char *target = tree_alloc(tree, inode->size + 1);
	if (ext2fs_is_fast_symlink(EXT2_INODE(raw))) {
		memcpy(target, raw->i_block, inode->size);
	} else {
		char block[DISK_BLOCK_SIZE];
		blk64_t at;
		check(ext2fs_bmap2(fs, ino, EXT2_INODE(raw), NULL, 0, 0, NULL, &at));
		check(io_channel_read_blk64(fs->io, at, 1, block));
		memcpy(target, block, inode->size);
	}
	inode->target = target;
}

struct attributes {
	struct ext2_xattr_handle *handle;
	struct xattr items[64];
	size_t count;
};

static int add_attribute(char *name, char *raw, size_t raw_len, void *private)
{
	(void)raw, (void)raw_len;
	struct attributes *a = private;
	void *value;
	size_t len;
	check(ext2fs_xattr_get(a->handle, name, &value, &len));
	assert_true(a->count < sizeof(a->items) / sizeof(*a->items));
	/* Of ACL entries without an id libext2fs makes it 0; the kernel has -1 there. */
	for (size_t at = 4; strncmp(name, "system.posix_acl_", 17) == 0 && at + 8 <= len; at += 8) {
		uint8_t *entry = (uint8_t *)value + at;
		if (entry[0] != 2 && entry[0] != 8)
			memset(entry + 4, 0xff, 4);
	}
	a->items[a->count++] =
		(struct xattr){.name = xstrdup(name), .value = value, .len = (uint32_t)len};
	return 0;
}

static void read_attributes(ext2_filsys fs, uint32_t ino, struct tree *tree, struct inode *inode)
{
	struct attributes a = {0};
	check(ext2fs_xattrs_open(fs, ino, &a.handle));
	check(ext2fs_xattrs_read(a.handle));
	check(ext2fs_xattrs_iterate(a.handle, add_attribute, &a));
	inode->xattrs = tree_xattrs(tree, a.items, a.count);
	for (size_t i = 0; i < a.count; i++) {
		free((void *)(uintptr_t)a.items[i].name);
		free((void *)(uintptr_t)a.items[i].value);
	}
	check(ext2fs_xattrs_close(&a.handle));
}

static void set_device(struct inode *inode, uint32_t major_number, uint32_t minor_number)
{
	inode->device.major = major_number;
	inode->device.minor = minor_number;
}

static struct inode *read_inode(ext2_filsys fs, uint32_t ino, struct tree *tree)
{
	struct ext2_inode_large raw = {0};
	check(ext2fs_read_inode_full(fs, ino, EXT2_INODE(&raw), sizeof(raw)));
	struct inode *inode = tree_inode_new(tree, raw.i_mode);
	inode->ino = ino;
	inode->uid = inode_uid(raw);
	inode->gid = inode_gid(raw);
	inode->mtime_sec = (int32_t)raw.i_mtime + ((int64_t)(raw.i_mtime_extra & 3) << 32);
	inode->mtime_nsec = raw.i_mtime_extra >> 2;
	if (S_ISREG(raw.i_mode) || S_ISLNK(raw.i_mode))
		inode->size = EXT2_I_SIZE(&raw);
	if (S_ISREG(raw.i_mode))
		read_data(fs, ino, tree, inode);
	else if (S_ISLNK(raw.i_mode))
		read_target(fs, ino, &raw, tree, inode);
	else if ((S_ISCHR(raw.i_mode) || S_ISBLK(raw.i_mode)) && raw.i_block[0] != 0)
		set_device(inode, raw.i_block[0] >> 8, raw.i_block[0] & 255);
	else if (S_ISCHR(raw.i_mode) || S_ISBLK(raw.i_mode))
		set_device(inode, raw.i_block[1] >> 8 & 0xfff,
			(raw.i_block[1] & 255) | (raw.i_block[1] >> 12 & 0xfff00));
	read_attributes(fs, ino, tree, inode);
	return inode;
}

static void read_below(ext2_filsys fs, struct tree *tree, struct dentry *dir, struct inode **seen)
{
	cleanup_buffer struct buffer names = {0};
	char name[TREE_NAME_MAX + 1];
	uint32_t ino;
	disk_names(fs, dir->inode->ino, &names);
	while (disk_next_name(&names, &ino, name)) {
		if (seen[ino] == NULL)
			seen[ino] = read_inode(fs, ino, tree);
		if (S_ISSOCK(seen[ino]->mode))
			continue;
		struct dentry *d = tree_link(tree, dir, name, strlen(name), seen[ino]);
		if (inode_is_dir(d->inode))
			read_below(fs, tree, d, seen);
	}
}

struct tree *guest_tree(const char *file)
{
	struct tree *tree = tree_new();
	ext2_filsys fs;
	check(ext2fs_open(file, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs));
	cleanup_free struct inode **seen =
		xcalloc(fs->super->s_inodes_count + 1, sizeof(struct inode *));
	tree_relink(tree, tree_root(tree), read_inode(fs, EXT2_ROOT_INO, tree));
	read_below(fs, tree, tree_root(tree), seen);
	check(ext2fs_close_free(&fs));
	return tree;
}
