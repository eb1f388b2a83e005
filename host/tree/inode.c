#include "tree/tree.h"

#include <stdlib.h>
#include <string.h>

struct inode *tree_inode_new(struct tree *tree, uint32_t mode)
{
	struct inode *inode = tree_alloc(tree, sizeof(*inode));
	inode->mode = mode;
	return inode;
}

static int compare_xattrs(const void *a, const void *b)
{
	return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

const struct xattrs *tree_xattrs(struct tree *tree, const struct xattr *items, size_t count)
{
	if (count == 0)
		return NULL;
	struct xattrs *xattrs = tree_alloc(tree, sizeof(*xattrs) + count * sizeof(struct xattr));
	for (size_t i = 0; i < count; i++) {
		size_t at = 0;
		while (at < xattrs->count && strcmp(xattrs->items[at].name, items[i].name) != 0)
			at++;
		struct xattr *to = &xattrs->items[at];
		if (at == xattrs->count) {
			size_t len = strlen(items[i].name) + 1;
			to->name = memcpy(tree_alloc(tree, len), items[i].name, len);
			xattrs->count++;
		}
		to->len = items[i].len;
		to->value = tree_alloc(tree, to->len);
		if (to->len != 0)
			memcpy((void *)(uintptr_t)to->value, items[i].value, to->len);
	}
	qsort(xattrs->items, xattrs->count, sizeof(struct xattr), compare_xattrs);
	return xattrs;
}

int inode_read(
	const struct inode *inode, void *data, size_t len, uint64_t offset, struct error *err)
{
	/* The first segment that ends after offset, by bisection. */
	uint32_t low = 0;
	uint32_t high = inode->segment_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct segment *s = &inode->segments[middle];
		if (s->logical + s->length <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	uint8_t *to = data;
	while (len > 0) {
		const struct segment *s = low < inode->segment_count ? &inode->segments[low] : NULL;
		if (s == NULL || offset < s->logical) {
			uint64_t hole = s == NULL ? len : s->logical - offset;
			size_t n = hole < len ? (size_t)hole : len;
			memset(to, 0, n);
			to += n;
			offset += n;
			len -= n;
			continue;
		}
		uint64_t skip = offset - s->logical;
		uint64_t rest = s->length - skip;
		size_t n = rest < len ? (size_t)rest : len;
		int r = inode->source->read(inode->source, to, n, s->offset + skip, err);
		if (r < 0)
			return r;
		to += n;
		offset += n;
		len -= n;
		low++;
	}
	return 0;
}

void inode_set_data(struct tree *tree, struct inode *inode, struct source *source, uint64_t offset,
	uint64_t size)
{
	inode->size = size;
	inode->source = source;
	if (size == 0)
		return;
	struct segment *segment = tree_alloc(tree, sizeof(*segment));
	*segment = (struct segment){.logical = 0, .length = size, .offset = offset};
	inode->segments = segment;
	inode->segment_count = 1;
}
