#include "ext4_base.h"

#include <string.h>

#include "support/fileio.h"

struct entry {
	const char *path;
	uint32_t mode; /* 0: a hard link */
	size_t size;
	const char *link; /* a symlink's target; a hard link's other name */
};

static const struct entry entries[] = {
	{"bin", S_IFDIR | 0755, 0, NULL},
	{"bin/sh", S_IFREG | 0755, 9000, NULL},
	{"bin/ls", 0, 0, "bin/sh"},
	{"dev", S_IFDIR | 0755, 0, NULL},
	{"dev/null", S_IFCHR | 0666, 0, NULL},
	{"dev/sda", S_IFBLK | 0660, 0, NULL},
	{"etc", S_IFDIR | 0755, 0, NULL},
	{"etc/fifo", S_IFIFO | 0600, 0, NULL},
	{"etc/group", S_IFREG | 0644, 0, NULL},
	{"etc/passwd", S_IFREG | 0644, 100, NULL},
	{"etc/rc.d", S_IFDIR | 0700, 0, NULL},
	{"etc/rc.d/K01stop", S_IFREG | 0700, 5000, NULL},
	{"etc/rc.d/S01start", S_IFREG | 0700, 10, NULL},
	{"lib", S_IFLNK | 0777, 0, "usr/lib"},
	{"long", S_IFLNK | 0777, 0,
		"a/target/that/is/too/long/for/the/inode/itself/and/so/stands/in/a/block"},
	{"tmp", S_IFDIR | 01777, 0, NULL},
	{"usr", S_IFDIR | 0755, 0, NULL},
	{"usr/lib", S_IFDIR | 0755, 0, NULL},
	{"usr/lib/a", S_IFDIR | 0755, 0, NULL},
	{"usr/lib/a/b", S_IFDIR | 0755, 0, NULL},
	{"usr/lib/a/b/c", S_IFREG | 0644, 4096, NULL},
	{"usr/lib/libc.so", S_IFREG | 0644, 20000, NULL},
};

static void add_xattrs(struct tree *tree)
{
	static const uint8_t value[300] = {1, 2, 3};
	const struct xattr small[] = {{"user.small", "x", 1}, {"security.capability", value, 20}};
	const struct xattr large[] = {{"user.large", value, sizeof(value)}, {"trusted.t", "", 0}};
	tree_walk(tree, "bin/sh")->inode->xattrs = tree_xattrs(tree, small, 2);
	tree_walk(tree, "etc/rc.d")->inode->xattrs = tree_xattrs(tree, large, 2);
}

static void set_file(struct tree *tree, struct inode *inode, const struct entry *entry)
{
	cleanup_free uint8_t *data = xmalloc(entry->size + 1);
	memset(data, entry->path[0], entry->size);
	inode_set_data(tree, inode, tree_own_source(tree, source_from_bytes(data, entry->size)), 0,
		entry->size);
}

static struct tree *make_tree(void)
{
	struct tree *tree = tree_new();
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		const struct entry *entry = &entries[i];
		const char *slash = strrchr(entry->path, '/');
		const char *name = slash != NULL ? slash + 1 : entry->path;
		cleanup_free char *dir = xstrndup(entry->path, (size_t)(name - entry->path));
		struct inode *inode = entry->mode == 0 ? tree_walk(tree, entry->link)->inode
						       : tree_inode_new(tree, entry->mode);
		if (entry->mode != 0)
			inode->mtime_sec = 1600000000;
		if (S_ISREG(entry->mode))
			set_file(tree, inode, entry);
		if (S_ISLNK(entry->mode)) {
			inode->target = entry->link;
			inode->size = strlen(entry->link);
		}
		if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode))
			inode->device.major = 8;
		tree_link(tree, tree_walk(tree, dir), name, strlen(name), inode);
	}
	add_xattrs(tree);
	tree_sort(tree);
	return tree;
}

static void list_blocks(struct ext4_base *base)
{
	static const uint8_t zeros[DISK_BLOCK_SIZE];
	base->block_count = (size_t)(base->size / DISK_BLOCK_SIZE);
	base->told = xcalloc(base->block_count, sizeof(*base->told));
	for (size_t i = 0; i < base->block_count; i++) {
		if (memcmp(base->bytes + i * DISK_BLOCK_SIZE, zeros, sizeof(zeros)) != 0)
			base->told[base->told_count++] = (uint16_t)i;
	}
}

static void list_inodes(struct ext4_base *base, struct tree *tree)
{
	size_t i = 0;
	base->inodes = xcalloc(tree_count(tree), sizeof(*base->inodes));
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d))
		base->inodes[i++] = d->inode->ino;
}

const struct ext4_base *ext4_base(void)
{
	static struct ext4_base base;
	static const struct disk_options options = {.room = 1 << 20};
	if (base.bytes != NULL)
		return &base;
	struct error err = fuzz_error();
	cleanup_tree struct tree *tree = make_tree();
	base.file = fuzz_file_new("", 0);
	fuzz_must(disk_assemble(tree, base.file.fd, &options, &base.size, &err), &err,
		"disk_assemble");
	base.bytes = xmalloc((size_t)base.size);
	fuzz_must(file_read_at(base.file.fd, base.bytes, (size_t)base.size, 0, "disk", &err), &err,
		"the disk");
	list_blocks(&base);
	list_inodes(&base, tree);
	return &base;
}

struct tree *ext4_base_tree(void)
{
	const uint32_t *inode = ext4_base()->inodes;
	struct tree *tree = make_tree();
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d))
		tree_set_number(tree, d->inode, *inode++);
	tree_freeze(tree);
	return tree;
}

uint32_t ext4_base_block(uint16_t number)
{
	const struct ext4_base *base = ext4_base();
	if (number < 0x8000)
		return base->told[number % base->told_count];
	return (uint32_t)((number & 0x7fffu) % base->block_count);
}
