/*
 * What the appliance saw becomes the tree's current state, path by path. Directories that
 * are as they were keep their objects, so that a DENTRY_SCAFFOLD one stays one; other inodes that
 * did not change compare equal, which is no change to changes_mark.
 */
#include <string.h>

#include "guestfs/guestfs_read.h"
#include "guestfs/helper.h"
#include "guestfs/seen.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "tree/changes.h"

#define NAME "guest disk"

struct reading {
	struct tree *seen;
	struct tree *tree;
	struct source *data; /* of the tar; the tree's */
};

/* A copy of an inode of `seen` for the tree, which outlives it. */
static struct inode *copy_inode(const struct reading *r, const struct inode *from)
{
	struct inode *inode = tree_inode_new(r->tree, from->mode);
	inode->uid = from->uid;
	inode->gid = from->gid;
	inode->mtime_sec = from->mtime_sec;
	inode->mtime_nsec = from->mtime_nsec;
	inode->size = from->size;
	if (from->xattrs != NULL)
		inode->xattrs = tree_xattrs(r->tree, from->xattrs->items, from->xattrs->count);
	if (S_ISREG(from->mode) && from->segment_count != 0) {
		size_t len = from->segment_count * sizeof(struct segment);
		inode->segments = memcpy(tree_alloc(r->tree, len), from->segments, len);
		inode->segment_count = from->segment_count;
		inode->source = r->data;
	} else if (S_ISLNK(from->mode)) {
		size_t len = from->size + 1;
		inode->target = memcpy(tree_alloc(r->tree, len), from->target, len);
	} else if (inode_is_device(from)) {
		inode->device = from->device;
	}
	return inode;
}

/* The inode of the tree for one of `seen`, whose first name in walk order comes first. */
static struct inode *map_inode(const struct reading *r, const struct dentry *seen)
{
	const struct dentry *first = seen->inode->names;
	if (first == seen)
		return copy_inode(r, seen->inode);
	cleanup_free char *path = tree_path(first);
	return tree_walk(r->tree, path)->inode;
}

/* Gives a directory of the tree the entry that was seen there. */
static struct dentry *place(const struct reading *r, struct dentry *dir, const struct dentry *seen)
{
	struct dentry *d = tree_find(r->tree, dir, seen->name, seen->name_len);
	if (d != NULL && inode_is_dir(d->inode) && inode_compare(d->inode, seen->inode) == 0)
		return d;
	return tree_link(r->tree, dir, seen->name, seen->name_len, map_inode(r, seen));
}

/* Takes away what a directory of the tree has and the seen one has not. */
static void drop_vanished(const struct reading *r, struct dentry *dir, struct dentry *seen)
{
	for (struct dentry *d = dir->children, *next; d != NULL; d = next) {
		next = d->next;
		if (d->inode != NULL && tree_find(r->seen, seen, d->name, d->name_len) == NULL)
			tree_unlink(r->tree, d);
	}
}

/* Directories of `seen` and the tree's entries for them, from the root down. */
struct way {
	struct pair {
		struct dentry *seen;
		struct dentry *in_tree;
	} * items;
	size_t count;
	size_t capacity;
};

static void cleanup_way_fn(struct way *way)
{
	free(way->items);
}

static void enter(const struct reading *r, struct way *way, struct dentry *seen, struct dentry *dir)
{
	way->items = array_grow(way->items, way->count, &way->capacity, sizeof(*way->items));
	way->items[way->count++] = (struct pair){.seen = seen, .in_tree = dir};
	drop_vanished(r, dir, seen);
}

/* Brings the whole tree to what was seen. */
static int take_over(const struct reading *r, struct error *err)
{
	__attribute__((cleanup(cleanup_way_fn))) struct way way = {0};
	struct dentry *top = tree_root(r->seen);
	struct dentry *root = tree_root(r->tree);
	tree_sort(r->seen);
	if (inode_compare(root->inode, top->inode) != 0)
		tree_relink(r->tree, root, copy_inode(r, top->inode));
	enter(r, &way, top, root);
	for (struct dentry *d = tree_next(top, top); d != NULL; d = tree_next(top, d)) {
		int code = interrupt_check(err);
		if (code < 0)
			return code;
		while (way.items[way.count - 1].seen != d->parent)
			way.count--;
		struct dentry *placed = place(r, way.items[way.count - 1].in_tree, d);
		if (inode_is_dir(d->inode))
			enter(r, &way, d, placed);
	}
	return 0;
}

int guestfs_reread(struct tree *tree, int base, int overlay, struct error *err)
{
	static const char *const arguments[] = {"written", NULL};
	const struct helper_job job = {.arguments = arguments, .base = base, .overlay = overlay};
	cleanup_close int tar = -1;
	cleanup_tree struct tree *seen = tree_new();
	uint64_t size;
	int r = helper_run(&job, &tar, &size, NULL, err);
	if (r < 0)
		return error_wrap(err, r, NAME);
	r = seen_apply(seen, tar, size, NAME, err);
	if (r < 0)
		return r;
	struct source *data = tree_own_source(tree, source_from_fd(steal_fd(&tar), 0, NAME));
	const struct reading reading = {.seen = seen, .tree = tree, .data = data};
	return take_over(&reading, err);
}
