#include "ext4_reader.h"

#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/memory.h"

extern char **environ;

static void check(errcode_t code, const char *what)
{
	if (code != 0)
		fail_msg("%s: %s", what, error_message(code));
}

ext2_filsys ext4_open(int fd)
{
	char path[64];
	ext2_filsys fs;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check(ext2fs_open(path, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs), "ext2fs_open");
	check(ext2fs_read_bitmaps(fs), "ext2fs_read_bitmaps");
	return fs;
}

static ext2_ino_t path_to_ino(ext2_filsys fs, const char *path)
{
	ext2_ino_t ino;
	check(ext2fs_namei(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &ino), path);
	return ino;
}

static struct ext2_inode_large read_inode(ext2_filsys fs, ext2_ino_t ino)
{
	struct ext2_inode_large raw;
	check(ext2fs_read_inode_full(fs, ino, (struct ext2_inode *)&raw, sizeof(raw)),
		"read inode");
	return raw;
}

struct ext2_inode_large ext4_inode(ext2_filsys fs, const char *path)
{
	return read_inode(fs, path_to_ino(fs, path));
}

static void read_file(ext2_filsys fs, ext2_ino_t ino, void *data, size_t len, uint64_t offset)
{
	ext2_file_t file;
	check(ext2fs_file_open(fs, ino, 0, &file), "open file");
	check(ext2fs_file_llseek(file, offset, EXT2_SEEK_SET, NULL), "seek");
	for (size_t done = 0; done < len;) {
		unsigned n;
		check(ext2fs_file_read(file, (char *)data + done, (unsigned)(len - done), &n),
			"read file");
		assert_int_not_equal(n, 0);
		done += n;
	}
	check(ext2fs_file_close(file), "close file");
}

void ext4_read(ext2_filsys fs, const char *path, void *data, size_t len, uint64_t offset)
{
	read_file(fs, path_to_ino(fs, path), data, len, offset);
}

/* What is known while a file system is read. */
struct reading {
	ext2_filsys fs;
	struct tree *tree;
	struct inode **by_number;
	struct dentry **dirs; /* found, to be read in order */
	size_t dir_count;
	size_t dir_capacity;
	size_t dir; /* which one is being read */
};

static void read_data(struct reading *r, ext2_ino_t ino, struct inode *inode)
{
	size_t size = (size_t)inode->size;
	cleanup_free void *data = xmalloc(size);
	read_file(r->fs, ino, data, size, 0);
	struct source *source = tree_own_source(r->tree, source_from_bytes(data, size));
	inode_set_data(r->tree, inode, source, 0, size);
}

static void read_target(
	struct reading *r, ext2_ino_t ino, const struct ext2_inode_large *raw, struct inode *inode)
{
	struct ext2_inode small;
	memcpy(&small, raw, sizeof(small));
	char *target = tree_alloc(r->tree, (size_t)inode->size + 1);
	if (ext2fs_is_fast_symlink(&small)) {
		memcpy(target, raw->i_block, (size_t)inode->size);
	} else {
		blk64_t block;
		char data[4096];
		check(ext2fs_bmap2(r->fs, ino, &small, NULL, 0, 0, NULL, &block), "map symlink");
		check(io_channel_read_blk64(r->fs->io, block, 1, data), "read symlink");
		memcpy(target, data, (size_t)inode->size);
	}
	inode->target = target;
}

static void read_device(const struct ext2_inode_large *raw, struct inode *inode)
{
	uint32_t old = raw->i_block[0], new = raw->i_block[1];
	inode->device.major = old != 0 ? old >> 8 & 0xff : (new & 0xfff00) >> 8;
	inode->device.minor = old != 0 ? old & 0xff : (new & 0xff) | (new >> 12 & 0xfff00);
}

struct xattr_list {
	struct xattr items[300];
	size_t count;
};

static int add_xattr(char *name, char *value, size_t len, void *arg)
{
	struct xattr_list *list = arg;
	(void)value;
	(void)len;
	list->items[list->count++].name = xstrdup(name);
	return 0;
}

/* Whether a name is that of an ACL, which has a form of its own on the disk. */
static bool is_acl(const char *name)
{
	return strncmp(name, "system.posix_acl_", 17) == 0;
}

/* The form that getxattr(2) gives: an ID of -1 where the disk has none. */
static void add_acl(struct reading *r, struct xattr *item, const uint8_t *raw, size_t len)
{
	uint8_t *acl = tree_alloc(r->tree, 2 * len);
	size_t n = 4;
	acl[0] = 2;
	assert_true(len >= 4 && raw[0] == 1 && raw[1] == 0 && raw[2] == 0 && raw[3] == 0);
	for (size_t i = 4; i < len; n += 8) {
		size_t size = raw[i] == 2 || raw[i] == 8 ? 8 : 4;
		assert_true(len - i >= size);
		memset(acl + n + 4, 0xff, 4);
		memcpy(acl + n, raw + i, size);
		i += size;
	}
	item->value = acl;
	item->len = (uint32_t)n;
}

static void read_xattrs(struct reading *r, ext2_ino_t ino, struct inode *inode)
{
	struct ext2_xattr_handle *handle;
	struct xattr_list list = {.count = 0};
	unsigned flags = XATTR_HANDLE_FLAG_RAW;
	check(ext2fs_xattrs_open(r->fs, ino, &handle), "open xattrs");
	check(ext2fs_xattrs_flags(handle, &flags, NULL), "set flags of xattrs");
	check(ext2fs_xattrs_read(handle), "read xattrs");
	check(ext2fs_xattrs_iterate(handle, add_xattr, &list), "iterate xattrs");
	for (size_t i = 0; i < list.count; i++) {
		struct xattr *item = &list.items[i];
		void *value;
		size_t len;
		check(ext2fs_xattr_get(handle, item->name, &value, &len), "get xattr");
		if (is_acl(item->name)) {
			add_acl(r, item, value, len);
		} else {
			item->value = memcpy(tree_alloc(r->tree, len), value, len);
			item->len = (uint32_t)len;
		}
		ext2fs_free_mem(&value);
	}
	inode->xattrs = tree_xattrs(r->tree, list.items, list.count);
	for (size_t i = 0; i < list.count; i++)
		free((void *)(uintptr_t)list.items[i].name);
	ext2fs_xattrs_close(&handle);
}

static struct inode *to_inode(struct reading *r, ext2_ino_t ino)
{
	struct ext2_inode_large raw = read_inode(r->fs, ino);
	struct inode *inode = tree_inode_new(r->tree, raw.i_mode);
	inode->uid = raw.i_uid | (uint32_t)raw.osd2.linux2.l_i_uid_high << 16;
	inode->gid = raw.i_gid | (uint32_t)raw.osd2.linux2.l_i_gid_high << 16;
	inode->mtime_sec = (int32_t)raw.i_mtime + ((int64_t)(raw.i_mtime_extra & 3) << 32);
	inode->mtime_nsec = raw.i_mtime_extra >> 2;
	assert_int_equal(raw.i_extra_isize, 32);
	assert_true(raw.i_atime == 0 && raw.i_ctime == 0 && raw.i_crtime == 0);
	assert_int_equal(raw.i_generation, 0);
	if (!S_ISDIR(raw.i_mode))
		inode->size = raw.i_size | (uint64_t)raw.i_size_high << 32;
	if (S_ISREG(raw.i_mode))
		read_data(r, ino, inode);
	else if (S_ISLNK(raw.i_mode))
		read_target(r, ino, &raw, inode);
	else if (S_ISCHR(raw.i_mode) || S_ISBLK(raw.i_mode))
		read_device(&raw, inode);
	read_xattrs(r, ino, inode);
	inode->ino = ino;
	return inode;
}

static void add_dir(struct reading *r, struct dentry *dir)
{
	r->dirs = array_grow(r->dirs, r->dir_count, &r->dir_capacity, sizeof(*r->dirs));
	r->dirs[r->dir_count++] = dir;
}

static int add_entry(ext2_ino_t dir, int kind, struct ext2_dir_entry *entry, int offset,
	int block_size, char *buf, void *arg)
{
	(void)dir;
	(void)offset;
	(void)block_size;
	(void)buf;
	struct reading *r = arg;
	if (kind != DIRENT_OTHER_FILE)
		return 0;
	struct inode **inode = &r->by_number[entry->inode];
	if (*inode == NULL)
		*inode = to_inode(r, entry->inode);
	size_t len = (size_t)ext2fs_dirent_name_len(entry);
	assert_null(tree_find(r->tree, r->dirs[r->dir], entry->name, len));
	struct dentry *d = tree_link(r->tree, r->dirs[r->dir], entry->name, len, *inode);
	if (inode_is_dir(*inode))
		add_dir(r, d);
	return 0;
}

struct tree *ext4_tree(int fd)
{
	struct reading r = {.fs = ext4_open(fd), .tree = tree_new()};
	r.by_number = xcalloc(r.fs->super->s_inodes_count + 1u, sizeof(*r.by_number));
	tree_relink(r.tree, tree_root(r.tree), to_inode(&r, EXT2_ROOT_INO));
	add_dir(&r, tree_root(r.tree));
	for (; r.dir < r.dir_count; r.dir++)
		check(ext2fs_dir_iterate2(r.fs, r.dirs[r.dir]->inode->ino, 0, NULL, add_entry, &r),
			"read directory");
	free(r.by_number);
	free(r.dirs);
	ext2fs_close_free(&r.fs);
	return r.tree;
}

void ext4_check(int fd)
{
	char said[4096];
	int status;
	pid_t pid;
	cleanup_close int log = memfd_create("e2fsck", MFD_CLOEXEC);
	char *const argv[] = {"e2fsck", "-fn", "/proc/self/fd/3", NULL};
	posix_spawn_file_actions_t actions;
	assert_true(log >= 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, log, 1);
	posix_spawn_file_actions_adddup2(&actions, log, 2);
	posix_spawn_file_actions_adddup2(&actions, fd, 3);
	int r = posix_spawn(&pid, "/sbin/e2fsck", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		fail_msg("/sbin/e2fsck: %s", strerror(r));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status == 0)
		return;
	ssize_t n = pread(log, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	fail_msg("e2fsck -fn ended with status 0x%x:\n%s", (unsigned)status, said);
}
