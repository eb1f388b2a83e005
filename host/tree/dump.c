#include "tree/dump.h"

#include <inttypes.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "support/digest.h"
#include "support/memory.h"

static void put_escaped(struct buffer *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c > 0x20 && c < 0x7f && c != '\\')
			buffer_add(out, &c, 1);
		else
			buffer_printf(out, "\\x%02x", c);
	}
}

static void put_path(struct buffer *out, const struct dentry *d)
{
	cleanup_free char *path = tree_path(d);
	buffer_add(out, "/", 1);
	put_escaped(out, path, strlen(path));
}

static int put_content(struct buffer *out, const struct inode *inode, struct error *err)
{
	char text[DIGEST_TEXT_SIZE];
	cleanup_free uint8_t *chunk = xmalloc(65536);
	cleanup_hasher struct hasher *hasher = hasher_new();
	for (uint64_t offset = 0; offset < inode->size;) {
		uint64_t rest = inode->size - offset;
		size_t n = rest < 65536 ? (size_t)rest : 65536;
		int r = inode_read(inode, chunk, n, offset, err);
		if (r < 0)
			return r;
		hasher_add(hasher, chunk, n);
		offset += n;
	}
	struct digest digest = hasher_finish(hasher);
	buffer_printf(out, " %s", digest_text(&digest, text));
	return 0;
}

static char type_letter(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 'f';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	case S_IFIFO:
		return 'p';
	default:
		return '?';
	}
}

static int dump_entry(struct buffer *out, const struct dentry *d, struct error *err)
{
	const struct inode *inode = d->inode;
	put_path(out, d);
	buffer_printf(out, " %c %04o %" PRIu32 ":%" PRIu32 " %" PRIu64 " %" PRId64 ".%09" PRIu32,
		type_letter(inode->mode), inode->mode & 07777, inode->uid, inode->gid, inode->size,
		inode->mtime_sec, inode->mtime_nsec);
	if (S_ISREG(inode->mode)) {
		int r = put_content(out, inode, err);
		if (r < 0)
			return r;
	} else if (S_ISLNK(inode->mode)) {
		buffer_add_text(out, " -> ");
		put_escaped(out, inode->target, strlen(inode->target));
	} else if (inode_is_device(inode)) {
		buffer_printf(
			out, " %" PRIu32 ",%" PRIu32, inode->device.major, inode->device.minor);
	}
	if (inode->names != d) {
		buffer_add_text(out, " =");
		put_path(out, inode->names);
	}
	for (uint32_t i = 0; inode->xattrs != NULL && i < inode->xattrs->count; i++) {
		const struct xattr *x = &inode->xattrs->items[i];
		buffer_add_text(out, " ");
		put_escaped(out, x->name, strlen(x->name));
		buffer_add_text(out, "=");
		for (uint32_t k = 0; k < x->len; k++)
			buffer_printf(out, "%02x", ((const uint8_t *)x->value)[k]);
	}
	buffer_add_text(out, "\n");
	return 0;
}

int tree_dump(struct tree *tree, struct buffer *out, struct error *err)
{
	struct dentry *root = tree_root(tree);
	tree_sort(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		int r = d->inode != NULL ? dump_entry(out, d, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}
