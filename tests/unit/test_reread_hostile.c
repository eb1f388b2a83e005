/* Disks that a hostile guest left: refused with words, or read; never worse. */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "disk/disk.h"
#include "disk/overlay.h"
#include "support/memory.h"

#include "disk_rig.h"

/* A disk with one of everything that is read again, to be damaged. */
static void hostile_guest(struct guest *g)
{
	uint8_t value[700] = {9, 8, 7};
	static uint8_t long_value[10000];
	guest_make(g, "/etc/new", S_IFREG | 0644, 0);
	guest_write(g, "/etc/new", 0, "data", 4);
	guest_make(g, "/etc/neu", S_IFREG | 0644, 0);
	guest_make(g, "/etc/.x", S_IFREG | 0644, 0);
	guest_write(g, "/usr/lib/big", 8192, "in the middle", 13);
	guest_make(g, "/pieces", S_IFREG | 0644, 0);
	for (unsigned i = 0; i < 6; i++)
		guest_write(g, "/pieces", (uint64_t)i * 8192, &i, sizeof(i));
	guest_symlink(g, "/etc/fast", "12345678901234567890");
	guest_symlink(g, "/etc/slow",
		"1234567890123456789012345678901234567890123456789012345678901234567890");
	guest_make(g, "/d", S_IFDIR | 0755, 0);
	guest_make(g, "/d/e", S_IFDIR | 0755, 0);
	guest_make(g, "/d/e/f", S_IFREG | 0644, 0);
	guest_rename(g, "/usr/lib/x/y", "/y");
	guest_xattr(g, "/etc/cfg/a", "user.x", value, 20);
	guest_xattr(g, "/etc/cfg/a", "user.y", value, 20);
	guest_xattr(g, "/etc/cfg/b", "user.big", value, sizeof(value));
	guest_xattr(g, "/etc/cfg", "user.v", long_value, sizeof(long_value));
	guest_make(g, "/etc/acl", S_IFREG | 0644, 0);
	guest_xattr(g, "/etc/acl", "system.posix_acl_access", rig_acl, sizeof(rig_acl));
}

/* The damaged disk, mapped, and the tree that says which inode has which path. */
struct image {
	uint8_t *bytes;
	size_t size;
	struct tree *tree;
};

enum where {
	SUPER,  /* the superblock */
	GROUP,  /* the first group descriptor */
	INODE,  /* the path's inode */
	BLOCK,  /* the first data block */
	LEAF,   /* the first block of the extent tree below the inode */
	ENTRY,  /* the directory entry */
	XBLOCK, /* the attribute block */
	XENTRY, /* the first attribute in the inode */
	XVALUE, /* its value */
	XINODE, /* the inode that holds its value */
};

struct damage {
	enum where where;
	const char *path;
	size_t offset, len;
	uint64_t value;
	const char *other; /* value becomes this path's inode number, or its first block */
	const char *words; /* in the error; NULL: the disk is taken */
};

#define FREE_INODE 0xfffffffe /* stands for the disk's last inode number */

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static uint8_t *numbered(const struct image *image, uint32_t ino)
{
	uint32_t index = ino - 1;
	uint32_t per_group = get32(image->bytes + 1024 + 40);
	uint32_t table = get32(image->bytes + 4096 + index / per_group * 32 + 8);
	return image->bytes + (size_t)table * 4096 + (size_t)(index % per_group) * 256;
}

static uint8_t *inode_at(const struct image *image, const char *path)
{
	return numbered(image, tree_walk(image->tree, path)->inode->ino);
}

static uint32_t first_block(const struct image *image, const char *path)
{
	return get32(inode_at(image, path) + 40 + 12 + 8);
}

static uint8_t *entry_at(const struct image *image, const char *path)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = xstrndup(path, (size_t)(slash - path));
	size_t len = strlen(slash + 1);
	uint8_t *at = image->bytes + (size_t)first_block(image, dir) * 4096;
	while (at[6] != len || memcmp(at + 8, slash + 1, len) != 0)
		at += at[4] | at[5] << 8;
	return at;
}

static uint8_t *place_of(const struct image *image, const struct damage *d)
{
	uint8_t *inode = d->path != NULL ? inode_at(image, d->path) : NULL;
	switch (d->where) {
	case SUPER:
		return image->bytes + 1024;
	case GROUP:
		return image->bytes + 4096;
	case INODE:
		return inode;
	case BLOCK:
		return image->bytes + (size_t)first_block(image, d->path) * 4096;
	case LEAF:
		return image->bytes + (size_t)get32(inode + 40 + 12 + 4) * 4096;
	case ENTRY:
		return entry_at(image, d->path);
	case XBLOCK:
		return image->bytes + (size_t)get32(inode + 104) * 4096;
	case XENTRY:
		return inode + 164;
	case XVALUE:
		return inode + 164 + (inode[166] | inode[167] << 8);
	case XINODE:
		return numbered(image, get32(inode + 168));
	}
	return NULL;
}

static const struct damage damages[] = {
	{SUPER, NULL, 0x68, 1, 0xff, NULL, "UUID"},
	{SUPER, NULL, 0x00, 4, 5, NULL, "number of inodes is 0x5"},
	{SUPER, NULL, 0x04, 4, 5, NULL, "number of blocks is 0x5"},
	{SUPER, NULL, 0x18, 4, 1, NULL, "block size"},
	{SUPER, NULL, 0x38, 2, 1, NULL, "magic is 0x1, expected 0xef53"},
	{SUPER, NULL, 0x3a, 2, 0, NULL, "not unmounted cleanly"},
	{SUPER, NULL, 0x3a, 2, 3, NULL, "found 0 errors"},
	{SUPER, NULL, 0x3a, 2, 5, NULL, "not unmounted cleanly"},
	{SUPER, NULL, 0x194, 4, 3, NULL, "found 3 errors"},
	{SUPER, NULL, 0xe8, 4, 12, NULL, "inode 12 is on the orphan list"},
	{SUPER, NULL, 0x60, 1, 0x46, NULL, "incompatible features"},
	{SUPER, NULL, 0x5c, 1, 0x2c, NULL, "compatible features"},
	{SUPER, NULL, 0x5c, 1, 0x08, NULL, "compatible features"},
	{SUPER, NULL, 0x5c, 1, 0x20, NULL, "compatible features"},
	{SUPER, NULL, 0x64, 1, 0x7b, NULL, "read-only features"},
	{SUPER, NULL, 0x34, 2, 7, NULL, NULL},
	{SUPER, NULL, 0x2c, 4, 1700000000, NULL, NULL},
	{SUPER, NULL, 0x88, 1, '/', NULL, NULL},
	{GROUP, NULL, 0, 4, 9, NULL, "group 0"},
	{GROUP, NULL, 4, 4, 9, NULL, "group 0"},
	{GROUP, NULL, 8, 4, 9, NULL, "group 0"},
	{GROUP, NULL, 12, 2, 9, NULL, NULL},

	{ENTRY, "/etc/new", 8, 1, '/', NULL, "/etc: inode"},
	{ENTRY, "/etc/new", 8, 1, '/', NULL, "which no file can have"},
	{ENTRY, "/etc/new", 9, 1, 0, NULL, "which no file can have"},
	{ENTRY, "/etc/new", 6, 1, 0, NULL, "which no file can have"},
	{ENTRY, "/etc/.x", 6, 1, 1, NULL, "which no file can have"},
	{ENTRY, "/etc/.x", 9, 1, '.', NULL, "which no file can have"},
	{ENTRY, "/etc/neu", 10, 1, 'w', NULL, "entry 'new' is there twice"},
	{ENTRY, "/etc/new", 0, 4, 0xffffffff, NULL, "has inode 4294967295"},
	{ENTRY, "/etc/new", 0, 4, 1, NULL, "has inode 1, expected 11"},
	{ENTRY, "/etc/new", 0, 4, 2, NULL, "has inode 2, expected 11"},
	{ENTRY, "/etc/new", 0, 4, 10, NULL, "has inode 10, expected 11"},
	{ENTRY, "/etc/new", 0, 4, FREE_INODE, NULL, "/etc/new: inode"},
	{ENTRY, "/etc/new", 0, 4, FREE_INODE, NULL, "is free, but has a name"},
	{ENTRY, "/etc/new", 0, 4, 0, "/etc/passwd", NULL},
	{ENTRY, "/etc/new", 0, 4, 0, "/d/e", "expected '..', inode"},
	{ENTRY, "/d/e/f", 0, 4, 0, "/d", "reached by another name"},
	{ENTRY, "/etc/new", 0, 4, 0, "/etc", "reached by another name"},
	{ENTRY, "/etc/new", 0, 4, 0, "/var/log", "is /var/log too"},
	{ENTRY, "/etc/new", 4, 2, 0, NULL, "has a length of 0"},
	{ENTRY, "/etc/new", 4, 2, 10, NULL, "has a length of 10"},
	{ENTRY, "/etc/new", 4, 2, 8, NULL, "has a length of 8"},
	{ENTRY, "/etc/new", 4, 2, 5000, NULL, "has a length of 5000"},
	{ENTRY, "/etc/new", 6, 1, 5, NULL, "a name of 5 bytes"},
	{BLOCK, "/etc", 0, 4, 13, NULL, "expected '.'"},
	{BLOCK, "/etc", 8, 1, 'x', NULL, "expected '.'"},
	{BLOCK, "/etc", 6, 1, 2, NULL, "expected '.'"},
	{BLOCK, "/etc", 12, 4, 13, NULL, "expected '..', inode 2"},
	{BLOCK, "/y", 12, 4, 0, "/usr", "expected '..', inode 2"},
	{INODE, "/etc", 4, 4, 0, NULL, "the directory has 0 bytes"},
	{INODE, "/etc", 4, 4, 5000, NULL, "5000 bytes, expected a multiple"},
	{INODE, "/etc", 4, 4, 8192, NULL, "a hole at 4096"},
	{INODE, "/etc", 42, 2, 0, NULL, "a hole at 0"},
	{INODE, "/", 0, 2, S_IFREG | 0755, NULL, "the root has mode 0100755"},
	{INODE, "/", 26, 2, 0, NULL, "is free"},

	{INODE, "/etc/new", 0, 2, 0x3000, NULL, "of no known type"},
	{INODE, "/etc/new", 0, 2, S_IFSOCK, NULL, NULL},
	{INODE, "/etc/new", 26, 2, 0, NULL, "is free"},
	{INODE, "/etc/new", 32, 4, 0x10080000, NULL, "data inside the inode"},
	{INODE, "/etc/new", 32, 4, 0x80800, NULL, "encrypted"},
	{INODE, "/etc/new", 32, 4, 0x180000, NULL, "fs-verity"},
	{INODE, "/d", 32, 4, 0x40080000, NULL, "without regard to case"},
	{INODE, "/etc/new", 32, 4, 0x280000, NULL, "value of an extended attribute"},
	{INODE, "/etc/new", 32, 4, 0, NULL, "block map"},
	{INODE, "/etc/new", 32, 4, 0x80010, NULL, NULL},
	{INODE, "/etc/new", 108, 4, 0x1001, NULL, "the file's size"},
	{INODE, "/etc/new", 128, 2, 130, NULL, "extra size is 130"},
	{INODE, "/etc/new", 128, 2, 132, NULL, "extra size is 132"},
	{INODE, "/etc/new", 136, 4, 0xffffffff, NULL, "1073741823 nanoseconds"},

	{INODE, "/usr/lib/big", 40, 2, 0, NULL, "has magic 0x0"},
	{INODE, "/usr/lib/big", 46, 2, 6, NULL, "depth is 6"},
	{INODE, "/usr/lib/big", 42, 2, 5, NULL, "has 5 entries of 4"},
	{INODE, "/usr/lib/big", 44, 2, 5, NULL, "of 5, where 4 fit"},
	{INODE, "/usr/lib/big", 56, 2, 0, NULL, "an extent of 0 blocks"},
	{INODE, "/usr/lib/big", 52, 4, 0xffffffff, NULL, "an extent of"},
	{INODE, "/usr/lib/big", 58, 2, 1, NULL, "but the disk has"},
	{INODE, "/usr/lib/big", 60, 4, 0, NULL, "it has the blocks 0 to"},
	{INODE, "/etc/new", 60, 4, 0, "/usr/lib/big", "which another file"},
	{LEAF, "/pieces", 0, 2, 0, NULL, "has magic 0x0"},
	{LEAF, "/pieces", 6, 2, 1, NULL, "depth 1, expected 0xf30a and 0"},
	{LEAF, "/pieces", 2, 2, 341, NULL, "has 341 entries"},
	{LEAF, "/pieces", 2, 2, 0, NULL, NULL},
	{LEAF, "/pieces", 24, 4, 0, NULL, "an extent of 1 blocks at 0, expected one in 1"},
	{LEAF, "/pieces", 28, 2, 0x8003, NULL, "expected one in 5"},
	{INODE, "/pieces", 42, 2, 0, NULL, "has 0 entries"},
	{INODE, "/pieces", 52, 4, 5, NULL, "expected one in 5"},
	{INODE, "/pieces", 56, 4, 0x7fffffff, NULL, "but the disk has"},
	{INODE, "/pieces", 46, 2, 2, NULL, "expected 0xf30a and 1"},

	{INODE, "/etc/fast", 4, 4, 60, NULL, "has 60 bytes, expected 1 to 59"},
	{INODE, "/etc/fast", 4, 4, 0, NULL, "has 0 bytes"},
	{INODE, "/etc/fast", 41, 1, 0, NULL, "NUL byte"},
	{INODE, "/etc/slow", 4, 4, 4096, NULL, "has 4096 bytes"},
	{INODE, "/etc/slow", 108, 4, 1, NULL, "expected 1 to 4095"},
	{INODE, "/etc/slow", 42, 2, 0, NULL, "no block for its target"},
	{BLOCK, "/etc/slow", 69, 1, 0, NULL, "NUL byte"},

	{INODE, "/etc/cfg/a", 160, 4, 0, NULL, NULL},
	{XENTRY, "/etc/cfg/a", 0, 1, 255, NULL, "is cut off"},
	{XENTRY, "/etc/cfg/a", 1, 1, 0, NULL, "unknown name index 0"},
	{XENTRY, "/etc/cfg/a", 1, 1, 200, NULL, "unknown name index 200"},
	{XENTRY, "/etc/cfg/a", 1, 1, 2, NULL, "broken name"},
	{XENTRY, "/etc/cfg/a", 2, 2, 0, NULL, "a value of 20 bytes at byte 164"},
	{XENTRY, "/etc/cfg/a", 2, 2, 0xffff, NULL, "a value of 20 bytes"},
	{XENTRY, "/etc/cfg/a", 8, 4, 0xffffffff, NULL, "a value of 4294967295 bytes"},
	{XENTRY, "/etc/cfg/a", 8, 4, 0, NULL, NULL},
	{XENTRY, "/etc/cfg/a", 28, 4, 40, NULL, "the values overlap"},
	{XENTRY, "/etc/cfg/a", 4, 4, 12, NULL, "value in inode 12, which is not there for that"},
	{XENTRY, "/etc/cfg", 4, 4, 10, NULL, "value in inode 10, which cannot be"},
	{XENTRY, "/etc/cfg", 4, 4, 0xffffffff, NULL, "which cannot be"},
	{XENTRY, "/etc/cfg", 4, 4, FREE_INODE, NULL, "which is free"},
	{XENTRY, "/etc/cfg", 4, 4, 0, NULL, "a value of 10000 bytes"},
	{XENTRY, "/etc/cfg", 8, 4, 9999, NULL, "which has another size"},
	{XENTRY, "/etc/cfg", 8, 4, 65537, NULL, "which is too large"},
	{XINODE, "/etc/cfg", 26, 2, 0, NULL, "which is free"},
	{XINODE, "/etc/cfg", 32, 4, 0x80000, NULL, "not there for that"},
	{XINODE, "/etc/cfg", 0, 2, S_IFDIR, NULL, "not there for that"},
	{XINODE, "/etc/cfg", 4, 4, 1, NULL, "which has another size"},
	{XINODE, "/etc/cfg", 42, 2, 0, NULL, "which has a hole"},
	{XINODE, "/etc/cfg", 52, 4, 1, NULL, "which has a hole"},
	{XINODE, "/etc/cfg", 56, 2, 2, NULL, "which has a hole"},
	{XINODE, "/etc/cfg", 60, 4, 0xffffffff, NULL, "but the disk has"},
	{XENTRY, "/etc/cfg/a", 16, 1, 0, NULL, "broken name"},
	{XENTRY, "/etc/cfg/a", 16, 1, 'y', NULL, "user.y is there twice"},
	{XBLOCK, "/etc/cfg/b", 0, 4, 1, NULL, "has magic 0x1"},
	{XBLOCK, "/etc/cfg/b", 4, 4, 0, NULL, "0 references"},
	{XBLOCK, "/etc/cfg/b", 4, 4, 1025, NULL, "1025 references"},
	{XBLOCK, "/etc/cfg/b", 8, 4, 2, NULL, "2 blocks"},
	{XBLOCK, "/etc/cfg/b", 34, 2, 4095, NULL, "a value of 700 bytes at byte 4095"},
	{INODE, "/etc/cfg/b", 104, 4, 0x7fffffff, NULL, "attributes are at block 2147483647"},
	{XVALUE, "/etc/acl", 0, 4, 2, NULL, "header of version 1"},
	{XVALUE, "/etc/acl", 4, 2, 64, NULL, "broken entry at byte 4"},
	{XVALUE, "/etc/acl", 6, 2, 8, NULL, "broken entry at byte 4"},
	{XENTRY, "/etc/acl", 8, 4, 26, NULL, "broken entry at byte 24"},
	{XENTRY, "/etc/acl", 8, 4, 3, NULL, "header of version 1"},
	{XENTRY, "/etc/acl", 1, 1, 1, NULL, "broken name"},
};

static struct image image_open(const struct rig *rig)
{
	struct image image = {.size = rig->size, .tree = guest_tree(rig->after)};
	image.bytes = mmap(NULL, image.size, PROT_READ | PROT_WRITE, MAP_SHARED, rig->after_fd, 0);
	assert_ptr_not_equal(image.bytes, MAP_FAILED);
	return image;
}

static void image_close(struct image *image)
{
	munmap(image->bytes, image->size);
	tree_free(image->tree);
}

static void apply_damage(const struct image *image, const struct damage *d)
{
	uint64_t value = d->value;
	if (d->other != NULL)
		value = d->where == INODE ? first_block(image, d->other)
					  : tree_walk(image->tree, d->other)->inode->ino;
	if (value == FREE_INODE)
		value = get32(image->bytes + 1024);
	uint8_t *at = place_of(image, d) + d->offset;
	for (size_t i = 0; i < d->len; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static void damaged_disks_are_refused(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	rig_open(&rig, rig_tree());
	struct guest *g = guest_open(rig.after);
	hostile_guest(g);
	guest_close(g);
	rig_check(&rig);
	struct image image = image_open(&rig);
	cleanup_free uint8_t *sound = xmemdup(image.bytes, image.size);
	for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
		struct error err;
		memcpy(image.bytes, sound, image.size);
		apply_damage(&image, &damages[i]);
		tree_revert(rig.tree);
		int r = rig_reread(&rig, &err);
		if (damages[i].words == NULL) {
			if (r != 0)
				fail_msg("damage %zu: %s", i, err.message);
			continue;
		}
		if (r == 0)
			fail_msg("damage %zu was taken, expected '%s'", i, damages[i].words);
		if (strstr(err.message, damages[i].words) == NULL)
			fail_msg("damage %zu: '%s' has no '%s'", i, err.message, damages[i].words);
		if (err.kind != ERROR_GUEST && err.kind != ERROR_LIMIT)
			fail_msg("damage %zu: kind %s", i, error_kind_name(err.kind));
	}
	image_close(&image);
}

struct base_damage {
	uint32_t offset, len, value;
	const char *words;
};

/* A base that disk_assemble did not write, such as a broken cache has. */
static void other_bases_are_refused(void **state)
{
	(void)state;
	static const struct base_damage table[] = {
		{1024 + 0x38, 2, 0, "superblock: magic"},
		{1024 + 0x4c, 4, 0, "superblock: revision"},
		{1024 + 0x18, 4, 1, "superblock: block size"},
		{1024 + 0x14, 4, 1, "superblock: block size"},
		{1024 + 0x58, 2, 128, "superblock: inode size"},
		{1024 + 0x60, 4, 0x10242, "superblock: incompatible features"},
		{1024 + 0x64, 4, 0x26b, "superblock: read-only features"},
		{1024 + 0x04, 4, 0, "superblock: number of blocks"},
		{1024 + 0x04, 4, 0xffffffff, "superblock: number of blocks"},
		{1024 + 0x20, 4, 0, "superblock: blocks per group"},
		{1024 + 0x20, 4, 32769, "superblock: blocks per group"},
		{1024 + 0x28, 4, 0, "superblock: inodes per group"},
		{1024 + 0x28, 4, 40, "superblock: inodes per group"},
		{1024 + 0x28, 4, 65536, "superblock: inodes per group"},
		{1024 + 0x00, 4, 0xffffffff, "superblock: number of inodes"},
		{1024 + 0x54, 4, 2, "superblock: first inode"},
		{1024 + 0x60, 4, 0x2c2, "superblock: descriptor size"},
		{4096 + 8, 4, 0, "its inode table is at block 0"},
		{4096 + 8, 4, 0xffffffff, "its inode table is at block 4294967295"},
	};
	cleanup_rig struct rig rig;
	rig_open(&rig, rig_tree());
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		struct error err;
		uint32_t sound;
		uint32_t value = htole32(table[i].value);
		assert_int_equal(pread(rig.base_fd, &sound, 4, table[i].offset), 4);
		cleanup_close int overlay = rig_overlay(&rig);
		assert_int_equal(
			pwrite(rig.base_fd, &value, table[i].len, table[i].offset), table[i].len);
		int r = disk_reread(rig.tree, rig.base_fd, overlay, &err);
		assert_int_equal(pwrite(rig.base_fd, &sound, 4, table[i].offset), 4);
		if (r == 0)
			fail_msg("base %zu was taken, expected '%s'", i, table[i].words);
		if (err.kind != ERROR_INPUT || strstr(err.message, table[i].words) == NULL)
			fail_msg("base %zu: '%s' has no '%s'", i, err.message, table[i].words);
	}
	rig_check(&rig);
}

/* Numbers that the tree did not get with this disk are noticed where a change leads to them. */
static void other_trees_are_refused(void **state)
{
	(void)state;
	struct error err;
	cleanup_rig struct rig rig;
	rig_open(&rig, rig_tree());
	struct guest *g = guest_open(rig.after);
	guest_chmod(g, "/etc/cfg/a", 0600);
	guest_close(g);
	static const char *const paths[] = {"/etc/cfg/a", "/etc/cfg", "/etc", "/"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct inode *inode = tree_walk(rig.tree, paths[i])->inode;
		uint32_t sound = inode->ino;
		const uint32_t numbers[] = {
			0, 3, UINT32_MAX, tree_walk(rig.tree, "/usr")->inode->ino};
		for (size_t j = 0; j < sizeof(numbers) / sizeof(*numbers); j++) {
			inode->ino = numbers[j];
			assert_int_equal(rig_reread(&rig, &err), -EINVAL);
			assert_int_equal(err.kind, ERROR_INTERNAL);
			cleanup_free char *words =
				xasprintf("%s is inode %u", paths[i], numbers[j]);
			if (strstr(err.message, words) == NULL)
				fail_msg("'%s' has no '%s'", err.message, words);
		}
		inode->ino = sound;
	}
	rig_check(&rig);
}

/* Of a tree without numbers, or with one too many, nothing is read. */
static void other_numbers_are_refused(void **state)
{
	(void)state;
	struct error err;
	cleanup_rig struct rig rig;
	rig_open(&rig, rig_tree());
	struct inode *inode = tree_walk(rig.tree, "/etc")->inode;
	uint32_t sound = inode->ino;
	tree_set_number(rig.tree, inode, 100000);
	assert_int_equal(rig_reread(&rig, &err), -EINVAL);
	assert_non_null(strstr(err.message, "it has inode 100000"));
	tree_forget_numbers(rig.tree);
	tree_set_number(rig.tree, inode, sound);
	assert_int_equal(rig_reread(&rig, &err), -EINVAL);
	assert_non_null(strstr(err.message, "/ is inode 0"));
}

static void smaller_overlay_is_refused(void **state)
{
	(void)state;
	struct error err;
	cleanup_rig struct rig rig;
	rig_open(&rig, rig_tree());
	cleanup_close int overlay = memfd_create("overlay", MFD_CLOEXEC);
	assert_true(overlay >= 0);
	assert_int_equal(overlay_create(overlay, rig.size - 4096, &err), 0);
	assert_int_equal(disk_reread(rig.tree, rig.base_fd, overlay, &err), -EINVAL);
	assert_non_null(strstr(err.message, "number of blocks"));
}

/* Reads all that a tree promises, up to a limit: sizes may be anything. */
static void read_all(struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	uint64_t total = 0;
	uint64_t names = 0;
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		names += d->inode != NULL;
		if (d->inode == NULL || !S_ISREG(d->inode->mode))
			continue;
		for (uint64_t at = 0; at < d->inode->size && total < (64 << 20);) {
			struct error err;
			uint8_t chunk[8192];
			uint64_t rest = d->inode->size - at;
			size_t n = rest < sizeof(chunk) ? (size_t)rest : sizeof(chunk);
			if (inode_read(d->inode, chunk, n, at, &err) != 0)
				fail_msg("%s", err.message);
			at += n;
			total += n;
		}
	}
	assert_int_equal(names, tree_count(tree));
}

static uint32_t random_value(struct random *random)
{
	static const uint32_t odd[] = {0, 1, 2, 3, 4, 8, 12, 0x7f, 0x80, 0xff, 0x100, 0x7fff,
		0x8000, 0x8001, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff};
	switch (random_below(random, 4)) {
	case 0:
		return odd[random_below(random, sizeof(odd) / sizeof(*odd))];
	case 1:
		return random_below(random, 1400);
	case 2:
		return 1u << random_below(random, 32);
	default:
		return random_below(random, UINT32_MAX);
	}
}

/* Overwrites fields of the blocks in the overlay; places: where those are in its file. */
static void random_damage(struct random *random, int overlay, const uint64_t *places, size_t count)
{
	unsigned times = 1 + random_below(random, 10);
	for (unsigned i = 0; i < times; i++) {
		static const uint32_t lengths[] = {1, 2, 4};
		uint32_t len = lengths[random_below(random, 3)];
		uint32_t value = htole32(random_value(random));
		/* Most fields are in the first part of a block or of an inode. */
		uint32_t offset = random_below(random, 2) ? random_below(random, 200)
							  : random_below(random, 4096);
		offset = offset / len * len;
		if (random_below(random, 2))
			offset = (offset + 256 * random_below(random, 16)) % 4096;
		uint64_t at = places[random_below(random, (uint32_t)count)] + offset;
		assert_int_equal(pwrite(overlay, &value, len, (off_t)at), len);
	}
}

static void fuzz_one_disk(struct random *random, int rounds, unsigned outcomes[2])
{
	cleanup_rig struct rig rig;
	rig_open(&rig, rig_tree());
	struct guest *g = guest_open(rig.after);
	hostile_guest(g);
	guest_random(g, random, 10);
	guest_close(g);
	cleanup_close int overlay = rig_overlay(&rig);
	struct error err;
	cleanup_overlay struct overlay *map = NULL;
	assert_int_equal(overlay_open(overlay, &map, &err), 0);
	uint64_t places[2048];
	size_t count = 0;
	/* Blocks 0 and 1, superblock and group descriptors, would end nearly every try at once. */
	for (uint64_t block = 2; block < rig.size / 4096 && count < 2048; block++) {
		if (overlay_lookup(map, block, &places[count]) == OVERLAY_DATA)
			count++;
	}
	cleanup_free uint8_t *sound = xmalloc((size_t)lseek(overlay, 0, SEEK_END));
	size_t size = (size_t)lseek(overlay, 0, SEEK_END);
	assert_int_equal(pread(overlay, sound, size, 0), size);
	for (int i = 0; i < rounds; i++) {
		random_damage(random, overlay, places, count);
		tree_revert(rig.tree);
		bool taken = disk_reread(rig.tree, rig.base_fd, overlay, &err) == 0;
		outcomes[taken]++;
		if (taken)
			read_all(rig.tree);
		else if (err.kind != ERROR_GUEST && err.kind != ERROR_LIMIT)
			fail_msg("%s: %s", error_kind_name(err.kind), err.message);
		assert_int_equal(pwrite(overlay, sound, size, 0), size);
	}
}

static void random_damage_is_survived(void **state)
{
	(void)state;
	struct random random = {.state = random_seed()};
	unsigned outcomes[2] = {0, 0};
	/* Every reread leaves two descriptors with the tree. */
	for (int disk = 0; disk < 12; disk++)
		fuzz_one_disk(&random, 300, outcomes);
	print_message("%u refused, %u taken\n", outcomes[0], outcomes[1]);
	assert_true(outcomes[0] > 100 && outcomes[1] > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_bases_are_refused),
		cmocka_unit_test(other_trees_are_refused),
		cmocka_unit_test(other_numbers_are_refused),
		cmocka_unit_test(smaller_overlay_is_refused),
		cmocka_unit_test(damaged_disks_are_refused),
		cmocka_unit_test(random_damage_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
