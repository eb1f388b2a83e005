/*
 * Headers of tars: an entry with any metadata at all, written and read again, is the same. The
 * input is the metadata.
 */
#include <linux/limits.h>
#include <string.h>

#include "fuzz.h"
#include "roundtrip.h"

#define XATTRS_MAX 8

/* A name that a tree can have, from any bytes. */
static size_t take_name(struct fuzz_input *input, char name[static TREE_NAME_MAX + 1])
{
	size_t len = fuzz_u8(input);
	const uint8_t *bytes = fuzz_bytes(input, &len);
	for (size_t i = 0; i < len; i++)
		name[i] = bytes[i] == '/' || bytes[i] == '\0' ? '_' : (char)bytes[i];
	if (len == 0 || strncmp(name, ".", len) == 0 || (len == 2 && strncmp(name, "..", 2) == 0))
		name[0] = '_';
	len = len != 0 ? len : 1;
	name[len] = '\0';
	return len;
}

static const struct xattrs *take_xattrs(struct fuzz_input *input, struct tree *tree)
{
	static const char *const spaces[] = {"user.", "trusted.", "security."};
	struct xattr items[XATTRS_MAX];
	size_t count = fuzz_u8(input) % (XATTRS_MAX + 1);
	for (size_t i = 0; i < count; i++) {
		char last[TREE_NAME_MAX + 1];
		const char *space = spaces[fuzz_u8(input) % 3];
		take_name(input, last);
		/* Linux has no longer names. */
		last[XATTR_NAME_MAX - strlen(space)] = '\0';
		char *name = tree_alloc(tree, strlen(space) + strlen(last) + 1);
		memcpy(name, space, strlen(space));
		memcpy(name + strlen(space), last, strlen(last));
		size_t len = fuzz_u8(input);
		items[i].name = name;
		items[i].value = fuzz_bytes(input, &len);
		items[i].len = (uint32_t)len;
	}
	return tree_xattrs(tree, items, count);
}

static void take_kind(struct fuzz_input *input, struct tree *tree, struct inode *inode)
{
	size_t len;
	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		len = fuzz_u16(input);
		const uint8_t *bytes = fuzz_bytes(input, &len);
		inode_set_data(
			tree, inode, tree_own_source(tree, source_from_bytes(bytes, len)), 0, len);
		break;
	case S_IFLNK:
		len = fuzz_u16(input) % 4096;
		const uint8_t *target = fuzz_bytes(input, &len);
		char *copy = tree_alloc(tree, len + 2);
		memcpy(copy, target, len);
		if (copy[0] == '\0')
			copy[0] = '.';
		inode->size = strlen(copy);
		inode->target = copy;
		break;
	case S_IFCHR:
	case S_IFBLK:
		inode->device.major = fuzz_u16(input) & 0xfff;
		inode->device.minor = (uint32_t)fuzz_u64(input) & 0xfffff;
		break;
	default:
		break;
	}
}

static struct inode *take_inode(struct fuzz_input *input, struct tree *tree)
{
	static const uint32_t types[] = {S_IFDIR, S_IFREG, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO};
	uint32_t type = types[fuzz_u8(input) % (sizeof(types) / sizeof(types[0]))];
	struct inode *inode = tree_inode_new(tree, type | (fuzz_u16(input) & 07777));
	inode->uid = (uint32_t)fuzz_u64(input);
	inode->gid = (uint32_t)fuzz_u64(input);
	/* The last number is no owner. */
	inode->uid -= inode->uid == UINT32_MAX;
	inode->gid -= inode->gid == UINT32_MAX;
	/* What ext4 can tell: before 1901 and after 2446 there is nothing. */
	inode->mtime_sec = (int64_t)(fuzz_u64(input) % (UINT64_C(1) << 34)) - (INT64_C(1) << 31);
	inode->mtime_nsec = (uint32_t)(fuzz_u64(input) % 1000000000);
	inode->xattrs = take_xattrs(input, tree);
	take_kind(input, tree, inode);
	return inode;
}

static struct dentry *any_dir(struct fuzz_input *input, struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	struct dentry *dir = root;
	size_t steps = fuzz_u8(input) % 16;
	for (struct dentry *d = root; d != NULL && steps-- != 0; d = tree_next(root, d)) {
		if (d->inode != NULL && inode_is_dir(d->inode))
			dir = d;
	}
	return dir;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {.data = data, .left = size};
	cleanup_tree struct tree *tree = tree_new();
	struct inode *last = NULL;
	while (input.left != 0) {
		char name[TREE_NAME_MAX + 1];
		struct dentry *dir = any_dir(&input, tree);
		size_t len = take_name(&input, name);
		bool link = last != NULL && !inode_is_dir(last) && fuzz_u8(&input) % 4 == 0;
		last = link ? last : take_inode(&input, tree);
		tree_link(tree, dir, name, len, last);
	}
	roundtrip_whole(tree);
	cleanup_tree struct tree *base = tree_new();
	roundtrip_changes(tree, base);
	return 0;
}
