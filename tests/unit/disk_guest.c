#include "disk_guest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <ext2fs/ext2fs.h>

#include "disk/disk.h"
#include "support/buffer.h"
#include "support/memory.h"

#include "disk_names.h"

struct guest {
	ext2_filsys fs;
	uint32_t clock; /* every change has a time of its own */
};

struct guest *guest_open(const char *file)
{
	struct guest *g = xcalloc(1, sizeof(*g));
	check(ext2fs_open(file, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &g->fs));
	check(ext2fs_read_bitmaps(g->fs));
	g->clock = 1700000000;
	g->fs->now = g->clock; /* for libext2fs, in place of the real time */
	return g;
}

void guest_close(struct guest *guest)
{
	check(ext2fs_close_free(&guest->fs));
	free(guest);
}

static uint32_t find(struct guest *g, const char *path)
{
	ext2_ino_t ino = 0;
	errcode_t code = ext2fs_namei(g->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &ino);
	if (code == EXT2_ET_FILE_NOT_FOUND)
		return 0;
	check(code);
	return ino;
}

uint32_t guest_lookup(struct guest *guest, const char *path)
{
	return find(guest, path);
}

static uint32_t must_find(struct guest *g, const char *path)
{
	uint32_t ino = find(g, path);
	if (ino == 0)
		fail_msg("%s: not found", path);
	return ino;
}

/* The folder's inode; *name: the last part of the path. */
static uint32_t parent_of(struct guest *g, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = xstrndup(path, (size_t)(slash - path));
	*name = slash + 1;
	return *dir == '\0' ? EXT2_ROOT_INO : must_find(g, dir);
}

static void get(struct guest *g, uint32_t ino, struct ext2_inode_large *inode)
{
	memset(inode, 0, sizeof(*inode));
	check(ext2fs_read_inode_full(g->fs, ino, EXT2_INODE(inode), sizeof(*inode)));
}

static void put(struct guest *g, uint32_t ino, struct ext2_inode_large *inode)
{
	check(ext2fs_write_inode_full(g->fs, ino, EXT2_INODE(inode), sizeof(*inode)));
}

static void stamp(struct guest *g, uint32_t ino, bool modified)
{
	struct ext2_inode_large inode;
	get(g, ino, &inode);
	inode.i_ctime = ++g->clock;
	if (modified) {
		inode.i_mtime = g->clock;
		inode.i_mtime_extra = (g->clock % 1000000000) << 2;
	}
	put(g, ino, &inode);
}

static void add_links(struct guest *g, uint32_t ino, int by)
{
	struct ext2_inode_large inode;
	get(g, ino, &inode);
	inode.i_links_count = (uint16_t)(inode.i_links_count + by);
	put(g, ino, &inode);
}

static void add_name(struct guest *g, uint32_t dir, const char *name, uint32_t ino)
{
	struct ext2_inode_large inode;
	get(g, ino, &inode);
	/* EXT2_FT_ by the type bits of a mode. */
	static const int types[16] = {[S_IFREG >> 12] = EXT2_FT_REG_FILE,
		[S_IFDIR >> 12] = EXT2_FT_DIR,
		[S_IFCHR >> 12] = EXT2_FT_CHRDEV,
		[S_IFBLK >> 12] = EXT2_FT_BLKDEV,
		[S_IFIFO >> 12] = EXT2_FT_FIFO,
		[S_IFSOCK >> 12] = EXT2_FT_SOCK,
		[S_IFLNK >> 12] = EXT2_FT_SYMLINK};
	int type = types[inode.i_mode >> 12];
	errcode_t code = ext2fs_link(g->fs, dir, name, ino, type);
	if (code == EXT2_ET_DIR_NO_SPACE) {
		check(ext2fs_expand_dir(g->fs, dir));
		code = ext2fs_link(g->fs, dir, name, ino, type);
	}
	check(code);
	stamp(g, dir, true);
}

void guest_make(struct guest *guest, const char *path, uint32_t mode, uint32_t device)
{
	const char *name;
	uint32_t dir = parent_of(guest, path, &name);
	struct ext2_inode_large inode = {.i_mode = (uint16_t)mode, .i_links_count = 1};
	ext2_ino_t ino;
	if (S_ISDIR(mode)) {
		errcode_t code = ext2fs_mkdir(guest->fs, dir, 0, name);
		if (code == EXT2_ET_DIR_NO_SPACE) {
			check(ext2fs_expand_dir(guest->fs, dir));
			code = ext2fs_mkdir(guest->fs, dir, 0, name);
		}
		check(code);
		ino = must_find(guest, path);
		get(guest, ino, &inode);
		inode.i_mode = (uint16_t)mode;
		inode.i_extra_isize = 32;
		put(guest, ino, &inode);
		stamp(guest, dir, true);
	} else {
		static const uint16_t extents[] = {0xf30a, 0, 4, 0, 0, 0};
		check(ext2fs_new_inode(guest->fs, dir, (int)mode, NULL, &ino));
		ext2fs_inode_alloc_stats2(guest->fs, ino, 1, 0);
		inode.i_extra_isize = 32;
		if (S_ISREG(mode)) {
			inode.i_flags = EXT4_EXTENTS_FL;
			memcpy(inode.i_block, extents, sizeof(extents));
		}
		if (S_ISCHR(mode) || S_ISBLK(mode))
			inode.i_block[1] = device;
		/* Clears the rest of the record, where a deleted file's attributes may be. */
		check(ext2fs_write_new_inode(guest->fs, ino, EXT2_INODE(&inode)));
		put(guest, ino, &inode);
		add_name(guest, dir, name, ino);
	}
	stamp(guest, ino, true);
}

void guest_symlink(struct guest *guest, const char *path, const char *target)
{
	const char *name;
	uint32_t dir = parent_of(guest, path, &name);
	errcode_t code = ext2fs_symlink(guest->fs, dir, 0, name, target);
	if (code == EXT2_ET_DIR_NO_SPACE) {
		check(ext2fs_expand_dir(guest->fs, dir));
		code = ext2fs_symlink(guest->fs, dir, 0, name, target);
	}
	check(code);
	ext2_ino_t ino;
	check(ext2fs_lookup(guest->fs, dir, name, (int)strlen(name), NULL, &ino));
	stamp(guest, ino, true);
	stamp(guest, dir, true);
}

void guest_link(struct guest *guest, const char *from, const char *to)
{
	const char *name;
	uint32_t dir = parent_of(guest, to, &name);
	uint32_t ino = must_find(guest, from);
	add_name(guest, dir, name, ino);
	add_links(guest, ino, 1);
	stamp(guest, ino, false);
}

static void release(struct guest *g, uint32_t ino, bool is_dir)
{
	struct ext2_inode_large inode;
	get(g, ino, &inode);
	check(ext2fs_free_ext_attr(g->fs, ino, NULL));
	if (ext2fs_inode_has_valid_blocks2(g->fs, EXT2_INODE(&inode)))
		check(ext2fs_punch(g->fs, ino, NULL, NULL, 0, ~0ULL));
	get(g, ino, &inode);
	inode.i_links_count = 0;
	inode.i_dtime = ++g->clock;
	put(g, ino, &inode);
	ext2fs_inode_alloc_stats2(g->fs, ino, -1, is_dir);
}

void guest_remove(struct guest *guest, const char *path)
{
	const char *name;
	uint32_t dir = parent_of(guest, path, &name);
	uint32_t ino;
	ext2_ino_t found;
	check(ext2fs_lookup(guest->fs, dir, name, (int)strlen(name), NULL, &found));
	ino = found;
	struct ext2_inode_large inode;
	get(guest, ino, &inode);
	bool is_dir = S_ISDIR(inode.i_mode);
	if (is_dir) {
		cleanup_buffer struct buffer names = {0};
		char child[TREE_NAME_MAX + 1];
		uint32_t child_ino;
		disk_names(guest->fs, ino, &names);
		while (disk_next_name(&names, &child_ino, child)) {
			cleanup_free char *below = xasprintf("%s/%s", path, child);
			guest_remove(guest, below);
		}
		add_links(guest, dir, -1);
	}
	check(ext2fs_unlink(guest->fs, dir, name, ino, 0));
	stamp(guest, dir, true);
	if (is_dir || inode.i_links_count == 1) {
		release(guest, ino, is_dir);
	} else {
		add_links(guest, ino, -1);
		stamp(guest, ino, false);
	}
}

static int set_dotdot(ext2_ino_t dir, int entry, struct ext2_dir_entry *dirent, int offset,
	int block_size, char *block, void *private)
{
	(void)dir, (void)offset, (void)block_size, (void)block;
	if (entry != DIRENT_DOT_DOT_FILE)
		return 0;
	dirent->inode = *(uint32_t *)private;
	return DIRENT_CHANGED | DIRENT_ABORT;
}

void guest_rename(struct guest *guest, const char *from, const char *to)
{
	const char *from_name, *to_name;
	uint32_t from_dir = parent_of(guest, from, &from_name);
	ext2_ino_t ino;
	check(ext2fs_lookup(guest->fs, from_dir, from_name, (int)strlen(from_name), NULL, &ino));
	uint32_t to_dir = parent_of(guest, to, &to_name);
	ext2_ino_t old;
	if (ext2fs_lookup(guest->fs, to_dir, to_name, (int)strlen(to_name), NULL, &old) == 0) {
		if (old == ino)
			return;
		guest_remove(guest, to);
	}
	check(ext2fs_unlink(guest->fs, from_dir, from_name, ino, 0));
	stamp(guest, from_dir, true);
	add_name(guest, to_dir, to_name, ino);
	struct ext2_inode_large inode;
	get(guest, ino, &inode);
	if (S_ISDIR(inode.i_mode) && from_dir != to_dir) {
		check(ext2fs_dir_iterate2(guest->fs, ino, 0, NULL, set_dotdot, &to_dir));
		add_links(guest, from_dir, -1);
		add_links(guest, to_dir, 1);
	}
	stamp(guest, ino, false);
}

void guest_write(
	struct guest *guest, const char *path, uint64_t offset, const void *data, size_t len)
{
	uint32_t ino = must_find(guest, path);
	ext2_file_t file;
	unsigned written;
	check(ext2fs_file_open(guest->fs, ino, EXT2_FILE_WRITE, &file));
	check(ext2fs_file_llseek(file, offset, EXT2_SEEK_SET, NULL));
	check(ext2fs_file_write(file, data, (unsigned)len, &written));
	assert_int_equal(written, len);
	check(ext2fs_file_close(file));
	stamp(guest, ino, true);
}

void guest_truncate(struct guest *guest, const char *path, uint64_t size)
{
	uint32_t ino = must_find(guest, path);
	ext2_file_t file;
	check(ext2fs_file_open(guest->fs, ino, EXT2_FILE_WRITE, &file));
	check(ext2fs_file_set_size2(file, (ext2_off64_t)size));
	check(ext2fs_file_close(file));
	stamp(guest, ino, true);
}

void guest_preallocate(struct guest *guest, const char *path, uint64_t blocks)
{
	uint32_t ino = must_find(guest, path);
	check(ext2fs_fallocate(
		guest->fs, EXT2_FALLOCATE_FORCE_UNINIT, ino, NULL, ~0ULL, 0, blocks));
	guest_truncate(guest, path, blocks * DISK_BLOCK_SIZE - 1);
}

void guest_chmod(struct guest *guest, const char *path, uint32_t permissions)
{
	uint32_t ino = must_find(guest, path);
	struct ext2_inode_large inode;
	get(guest, ino, &inode);
	inode.i_mode = (uint16_t)((inode.i_mode & S_IFMT) | permissions);
	put(guest, ino, &inode);
	stamp(guest, ino, false);
}

void guest_chown(struct guest *guest, const char *path, uint32_t uid, uint32_t gid)
{
	uint32_t ino = must_find(guest, path);
	struct ext2_inode_large inode;
	get(guest, ino, &inode);
	inode.i_uid = (uint16_t)uid;
	inode.i_uid_high = (uint16_t)(uid >> 16);
	inode.i_gid = (uint16_t)gid;
	inode.i_gid_high = (uint16_t)(gid >> 16);
	put(guest, ino, &inode);
	stamp(guest, ino, false);
}

void guest_read_times(struct guest *guest, const char *path)
{
	uint32_t ino = must_find(guest, path);
	struct ext2_inode_large inode;
	get(guest, ino, &inode);
	inode.i_atime = ++guest->clock;
	put(guest, ino, &inode);
	stamp(guest, ino, false);
}

void guest_xattr(
	struct guest *guest, const char *path, const char *name, const void *value, size_t len)
{
	uint32_t ino = must_find(guest, path);
	struct ext2_xattr_handle *handle;
	check(ext2fs_xattrs_open(guest->fs, ino, &handle));
	check(ext2fs_xattrs_read(handle));
	if (value != NULL)
		check(ext2fs_xattr_set(handle, name, value, len));
	else
		check(ext2fs_xattr_remove(handle, name));
	check(ext2fs_xattrs_close(&handle));
	stamp(guest, ino, false);
}

/* Paths of everything, and of directories alone. */
struct paths {
	char **all, **dirs;
	size_t all_count, all_capacity;
	size_t dir_count, dir_capacity;
};

static void free_paths(struct paths *p)
{
	for (size_t i = 0; i < p->all_count; i++)
		free(p->all[i]);
	free(p->all);
	free(p->dirs);
}

static void list_paths(struct guest *g, const char *dir, uint32_t dir_ino, struct paths *p)
{
	cleanup_buffer struct buffer names = {0};
	char name[TREE_NAME_MAX + 1];
	uint32_t ino;
	disk_names(g->fs, dir_ino, &names);
	while (disk_next_name(&names, &ino, name)) {
		struct ext2_inode_large inode;
		get(g, ino, &inode);
		char *path = xasprintf("%s/%s", dir, name);
		p->all = array_grow(p->all, p->all_count, &p->all_capacity, sizeof(char *));
		p->all[p->all_count++] = path;
		if (!S_ISDIR(inode.i_mode))
			continue;
		p->dirs = array_grow(p->dirs, p->dir_count, &p->dir_capacity, sizeof(char *));
		p->dirs[p->dir_count++] = path;
		list_paths(g, path, ino, p);
	}
}

static uint32_t mode_of(struct guest *g, const char *path)
{
	struct ext2_inode_large inode;
	get(g, must_find(g, path), &inode);
	return inode.i_mode;
}

static void make_at_random(struct guest *g, struct random *random, const char *path)
{
	static const uint32_t types[] = {
		S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
	if (guest_lookup(g, path) != 0)
		guest_remove(g, path);
	uint32_t kind = random_below(random, 11);
	if (kind > 8) {
		char target[301];
		uint32_t len = 1 + random_below(random, 300);
		memset(target, 's', len);
		target[len] = '\0';
		guest_symlink(g, path, target);
		return;
	}
	guest_make(
		g, path, types[kind] | random_below(random, 010000), random_below(random, 0x10000));
}

static void change_at_random(struct guest *g, struct random *random, const char *path)
{
	uint32_t mode = mode_of(g, path);
	uint8_t data[6000];
	size_t len = 1 + random_below(random, sizeof(data));
	memset(data, (int)random_below(random, 256), len);
	switch (random_below(random, S_ISREG(mode) ? 7 : 5)) {
	case 0:
		if (!S_ISLNK(mode))
			guest_chmod(g, path, random_below(random, 010000));
		break;
	case 1:
		guest_chown(g, path, random_below(random, 100000), random_below(random, 100000));
		break;
	case 2:
		guest_read_times(g, path);
		break;
	case 3:
	case 4:
		len = random_below(random, random_below(random, 2) ? 40 : 900);
		if (random_below(random, 8) == 0)
			len = random_below(random, (uint32_t)sizeof(data));
		guest_xattr(g, path, random_below(random, 2) ? "user.guest" : "security.test", data,
			len);
		break;
	case 5:
		guest_truncate(g, path, random_below(random, 3) * random_below(random, 20000));
		break;
	default:
		guest_write(
			g, path, random_below(random, 3) * random_below(random, 50000), data, len);
	}
}

void guest_random(struct guest *guest, struct random *random, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		__attribute__((cleanup(free_paths))) struct paths p = {0};
		list_paths(guest, "", EXT2_ROOT_INO, &p);
		const char *dir = random_below(random, 3) == 0 || p.dir_count == 0
					  ? ""
					  : p.dirs[random_below(random, (uint32_t)p.dir_count)];
		cleanup_free char *path =
			xasprintf("%s/%c", dir, 'a' + (char)random_below(random, 12));
		if (p.all_count < 3 || random_below(random, 4) == 0) {
			make_at_random(guest, random, path);
			continue;
		}
		const char *other = p.all[random_below(random, (uint32_t)p.all_count)];
		size_t len = strlen(other);
		bool inside =
			strncmp(path, other, len) == 0 && (path[len] == '/' || path[len] == '\0');
		bool holds = strncmp(other, path, strlen(path)) == 0 &&
			     (other[strlen(path)] == '/' || other[strlen(path)] == '\0');
		switch (random_below(random, 6)) {
		case 0:
			guest_remove(guest, other);
			break;
		case 1:
			if (!inside && !holds)
				guest_rename(guest, other, path);
			break;
		case 2:
			if (!S_ISDIR(mode_of(guest, other)) && guest_lookup(guest, path) == 0)
				guest_link(guest, other, path);
			break;
		default:
			change_at_random(guest, random, other);
		}
	}
}
