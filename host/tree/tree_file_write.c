#include <endian.h>
#include <errno.h>
#include <string.h>

#include "support/digest.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree/tree_file.h"
#include "tree/tree_file_format.h"

#define FILE_NAME "a tree in the cache"

struct writer {
	struct buffer *out;
	const struct source *disk;
	const struct dentry *last; /* the name of the base that was written last; NULL: none */
	uint32_t last_ino;
	uint32_t ino_max;
	uint64_t data_end; /* where the last data on the disk ends, to the next boundary */
};

static void put(struct writer *w, uint64_t value)
{
	uint8_t *to = buffer_reserve(w->out, VARINT_MAX);
	size_t len = 0;
	for (; value >= 0x80; value >>= 7)
		to[len++] = (uint8_t)(value | 0x80);
	to[len++] = (uint8_t)value;
	w->out->len += len;
}

static void put_signed(struct writer *w, int64_t value)
{
	put(w, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

static void put_byte(struct writer *w, uint8_t value)
{
	buffer_add(w->out, &value, 1);
}

/* A layer took the name away again: it is in neither state. */
static bool is_nothing(const struct dentry *d)
{
	return d->inode == NULL && d->base == NULL;
}

static bool is_scaffold(const struct dentry *d)
{
	return d->flags & DENTRY_SCAFFOLD;
}

/* Not every tree can be told by the file; one that was just assembled can. */
static const char *check(const struct writer *w, const struct dentry *d)
{
	const struct inode *inode = d->inode;
	if (inode == NULL || d->base != (is_scaffold(d) ? NULL : inode))
		return "it differs from the base state";
	if (is_scaffold(d) && inode->nlink > 1)
		return "what the base lacks has several names";
	if (inode->names == d && (inode->ino <= w->last_ino || inode->ino > w->ino_max))
		return "its inode number is not that of its place";
	if (S_ISREG(inode->mode) && inode->segment_count != 0 && inode->source != w->disk)
		return "its data is not on the disk";
	return NULL;
}

static void put_name(struct writer *w, const struct dentry *d)
{
	put_byte(w, (uint8_t)d->name_len);
	buffer_add(w->out, d->name, d->name_len);
}

static void put_segments(struct writer *w, const struct inode *inode)
{
	uint64_t at = 0;
	put(w, inode->size);
	put(w, inode->segment_count);
	for (uint32_t i = 0; i < inode->segment_count; i++) {
		const struct segment *s = &inode->segments[i];
		put(w, s->logical - at);
		put(w, s->length - 1);
		put_signed(w, (int64_t)(s->offset - w->data_end));
		at = s->logical + s->length;
		w->data_end = tree_file_aligned(s->offset + s->length);
	}
}

static void put_xattrs(struct writer *w, const struct xattrs *xattrs)
{
	put(w, xattrs->count);
	for (uint32_t i = 0; i < xattrs->count; i++) {
		const struct xattr *x = &xattrs->items[i];
		buffer_add(w->out, x->name, strlen(x->name) + 1);
		put(w, x->len);
		buffer_add(w->out, x->value, x->len);
	}
}

static void put_inode(struct writer *w, const struct inode *inode)
{
	put(w, inode->mode);
	put(w, inode->uid);
	put(w, inode->gid);
	put_signed(w, inode->mtime_sec);
	put(w, inode->mtime_nsec);
	put(w, inode->ino - w->last_ino - 1);
	w->last_ino = inode->ino;
	if (S_ISREG(inode->mode)) {
		put_segments(w, inode);
	} else if (S_ISLNK(inode->mode)) {
		put(w, inode->size);
		buffer_add(w->out, inode->target, (size_t)inode->size);
	} else if (inode_is_device(inode)) {
		put(w, inode->device.major);
		put(w, inode->device.minor);
	}
	if (inode->xattrs != NULL)
		put_xattrs(w, inode->xattrs);
}

static void put_up(struct writer *w, const struct dentry *d)
{
	uint64_t up = 0;
	for (const struct dentry *above = w->last; above != NULL && above != d->parent;
		above = above->parent)
		up++;
	put(w, up);
}

static void put_entry(struct writer *w, const struct dentry *d)
{
	const struct inode *inode = d->inode;
	bool is_link = inode->names != d;
	unsigned xattrs = inode->xattrs != NULL ? ENTRY_XATTRS : 0;
	put_byte(w, (uint8_t)(is_link ? ENTRY_LINK : xattrs));
	if (is_scaffold(d))
		put(w, d->parent->inode->ino);
	else if (d->parent != NULL)
		put_up(w, d);
	if (d->parent != NULL)
		put_name(w, d);
	if (is_link)
		put(w, inode->ino);
	else
		put_inode(w, inode);
	if (!is_scaffold(d))
		w->last = d;
}

/* The names that the base has, or those that it lacks. */
static int put_names(struct writer *w, struct dentry *root, bool scaffold, struct error *err)
{
	w->last_ino = 0;
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (is_nothing(d) || is_scaffold(d) != scaffold)
			continue;
		const char *fault = check(w, d);
		if (fault != NULL) {
			cleanup_free char *path = tree_path(d);
			return error_set(err, ERROR_INTERNAL, EINVAL,
				FILE_NAME ": /%s cannot be written: %s", path, fault);
		}
		put_entry(w, d);
	}
	return 0;
}

static int put_tree(struct writer *w, struct tree *tree, struct error *err)
{
	struct dentry *root = tree_root(tree);
	uint64_t count = tree_count(tree);
	uint64_t scaffold = 0;
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d))
		scaffold += is_scaffold(d);
	w->ino_max = count < UINT32_MAX - TREE_FILE_NUMBERS_OUT
			     ? (uint32_t)count + TREE_FILE_NUMBERS_OUT
			     : UINT32_MAX;
	put(w, count);
	put(w, scaffold);
	int r = put_names(w, root, false, err);
	return r < 0 ? r : put_names(w, root, true, err);
}

int tree_file_write(
	struct tree *tree, const struct source *disk, int fd, uint64_t offset, struct error *err)
{
	cleanup_buffer struct buffer bytes = {0};
	struct writer w = {.out = &bytes, .disk = disk};
	struct tree_file_header header = {
		.magic = TREE_FILE_MAGIC, .version = htole32(TREE_FILE_VERSION)};
	buffer_add(&bytes, &header, sizeof(header));
	int r = put_tree(&w, tree, err);
	if (r < 0)
		return r;
	if (bytes.len > TREE_FILE_MAX - sizeof(struct digest))
		return error_set(err, ERROR_LIMIT, EFBIG,
			FILE_NAME ": needs %zu bytes; the most is %llu", bytes.len,
			(unsigned long long)TREE_FILE_MAX);
	header.body = htole64(bytes.len - sizeof(header));
	memcpy(bytes.data, &header, sizeof(header));
	struct digest digest = digest_of(bytes.data, bytes.len);
	buffer_add(&bytes, digest.bytes, sizeof(digest.bytes));
	return file_write_at(fd, bytes.data, bytes.len, offset, FILE_NAME, err);
}
