#include "tree/changes.h"

#include <stdlib.h>
#include <string.h>

#include "support/memory.h"

#define COMPARE_CHUNK (64u * 1024)

static bool same_xattrs(const struct xattrs *a, const struct xattrs *b)
{
	uint32_t count = a != NULL ? a->count : 0;
	if (count != (b != NULL ? b->count : 0))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct xattr *x = &a->items[i];
		const struct xattr *y = &b->items[i];
		if (strcmp(x->name, y->name) != 0 || x->len != y->len ||
			(x->len != 0 && memcmp(x->value, y->value, x->len) != 0))
			return false;
	}
	return true;
}

/* What a type has beyond the metadata of all. */
static unsigned compare_kind(const struct inode *a, const struct inode *b)
{
	switch (a->mode & S_IFMT) {
	case S_IFREG:
		return a->size != b->size ? DIFFERENCE_SIZE : 0;
	case S_IFLNK:
		return strcmp(a->target, b->target) != 0 ? DIFFERENCE_TARGET : 0;
	case S_IFCHR:
	case S_IFBLK:
		return a->device.major != b->device.major || a->device.minor != b->device.minor
			       ? DIFFERENCE_DEVICE
			       : 0;
	default:
		return 0;
	}
}

unsigned inode_compare(const struct inode *a, const struct inode *b)
{
	unsigned differences = 0;
	if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
		differences |= DIFFERENCE_TYPE;
	else
		differences |= compare_kind(a, b);
	if ((a->mode & 07777) != (b->mode & 07777))
		differences |= DIFFERENCE_MODE;
	if (a->uid != b->uid || a->gid != b->gid)
		differences |= DIFFERENCE_OWNER;
	if (a->mtime_sec != b->mtime_sec || a->mtime_nsec != b->mtime_nsec)
		differences |= DIFFERENCE_MTIME;
	if (!same_xattrs(a->xattrs, b->xattrs))
		differences |= DIFFERENCE_XATTRS;
	return differences;
}

/* Whether two files of the same size hold the same bytes. */
static int same_content(const struct inode *a, const struct inode *b, bool *same, struct error *err)
{
	*same = true;
	if (a->source == b->source && a->segment_count == b->segment_count &&
		(a->segment_count == 0 || memcmp(a->segments, b->segments,
						  a->segment_count * sizeof(struct segment)) == 0))
		return 0;
	cleanup_free uint8_t *chunk = xmalloc(2 * COMPARE_CHUNK);
	for (uint64_t offset = 0; offset < a->size && *same; offset += COMPARE_CHUNK) {
		uint64_t rest = a->size - offset;
		size_t n = rest < COMPARE_CHUNK ? (size_t)rest : COMPARE_CHUNK;
		int r = inode_read(a, chunk, n, offset, err);
		if (r == 0)
			r = inode_read(b, chunk + COMPARE_CHUNK, n, offset, err);
		if (r < 0)
			return r;
		*same = memcmp(chunk, chunk + COMPARE_CHUNK, n) == 0;
	}
	return 0;
}

/* Whether the current names of d's inode are just the names that d's base inode had. */
static bool same_names(const struct dentry *d)
{
	if (inode_is_dir(d->inode))
		return true;
	if (d->inode->nlink != d->base->base_nlink)
		return false;
	for (const struct dentry *n = d->inode->names; n != NULL; n = n->next_name) {
		if (n->base != d->base)
			return false;
	}
	return true;
}

/* All but the content. */
static unsigned compare_metadata(const struct dentry *d)
{
	unsigned differences = d->inode == d->base ? 0 : inode_compare(d->inode, d->base);
	if (d->parent == NULL)
		differences &= ~(unsigned)DIFFERENCE_MTIME;
	return same_names(d) ? differences : differences | DIFFERENCE_NAMES;
}

static int compare_content(const struct dentry *d, unsigned *differences, struct error *err)
{
	bool same;
	if (d->inode == d->base || !S_ISREG(d->inode->mode) ||
		(*differences & (DIFFERENCE_TYPE | DIFFERENCE_SIZE)))
		return 0;
	int r = same_content(d->inode, d->base, &same, err);
	if (r == 0 && !same)
		*differences |= DIFFERENCE_CONTENT;
	return r;
}

int changes_compare(const struct dentry *dentry, unsigned *differences, struct error *err)
{
	*differences = compare_metadata(dentry);
	return compare_content(dentry, differences, err);
}

/* A file's current names where the base has them all for one inode, and others besides. */
struct piece {
	const struct inode *base;
	const struct inode *inode;
};

/* What changes_mark has found so far. */
struct marking {
	struct changes *changes;
	struct piece *pieces; /* all that are as in the base, but for the names that are missing */
	size_t count, capacity;
};

/* Whether each current name of d's inode was a name of d's base inode. */
static bool names_are_old(const struct dentry *d)
{
	for (const struct dentry *n = d->inode->names; n != NULL; n = n->next_name) {
		if (n->base != d->base)
			return false;
	}
	return true;
}

/*
 * Whether the inode that d names belongs in the layer, whatever became of other names that its base
 * inode had. All of its names give the same answer: where they do not have one inode of the base,
 * a name was added to the set.
 */
static int inode_changed(const struct dentry *d, bool *changed, struct error *err)
{
	*changed = true;
	if (d->base == NULL || !names_are_old(d))
		return 0;
	unsigned differences = compare_metadata(d) & ~(unsigned)DIFFERENCE_NAMES;
	if (differences != 0)
		return 0;
	int r = compare_content(d, &differences, err);
	*changed = differences != 0;
	return r;
}

static void mark(struct dentry *dentry, uint8_t flag)
{
	dentry->flags |= flag;
	for (struct dentry *d = dentry->parent; d != NULL && !(d->flags & DENTRY_BELOW);
		d = d->parent)
		d->flags |= DENTRY_BELOW;
}

static bool is_scaffold(const struct dentry *d)
{
	return (d->flags & DENTRY_SCAFFOLD) && d->base == NULL;
}

/* Whether a directory was made for the guest, and all below it too. */
static bool is_untouched_scaffold(const struct dentry *dir)
{
	if (!is_scaffold(dir))
		return false;
	for (const struct dentry *d = tree_next(dir, dir); d != NULL; d = tree_next(dir, d)) {
		if (d->inode != NULL && !is_scaffold(d))
			return false;
	}
	return true;
}

static void mark_names(struct marking *m, const struct inode *inode)
{
	for (struct dentry *d = inode->names; d != NULL; d = d->next_name) {
		mark(d, DENTRY_WRITE);
		m->changes->written++;
	}
}

/* Marks all names of an inode where it belongs in the layer. NULL is none. */
static int decide(struct marking *m, const struct inode *inode, struct error *err)
{
	if (inode == NULL || inode->names == NULL || (inode->names->flags & DENTRY_DECIDED))
		return 0;
	struct dentry *d = inode->names;
	d->flags |= DENTRY_DECIDED;
	if (is_untouched_scaffold(d))
		return 0;
	bool changed;
	int r = inode_changed(d, &changed, err);
	if (r < 0) {
		cleanup_free char *path = tree_path(d);
		return error_wrap(err, r, "/%s", path);
	}
	if (changed) {
		mark_names(m, inode);
	} else if (!same_names(d)) {
		m->pieces = array_grow(m->pieces, m->count, &m->capacity, sizeof(*m->pieces));
		m->pieces[m->count++] = (struct piece){d->base, inode};
	}
	return 0;
}

static int by_base(const void *a, const void *b)
{
	const struct piece *x = a;
	const struct piece *y = b;
	return (x->base > y->base) - (x->base < y->base);
}

/*
 * A file that lost names is what the base's other names of it are. Where there are two such files
 * of one, the base cannot give both.
 */
static void decide_pieces(struct marking *m)
{
	if (m->count < 2)
		return;
	qsort(m->pieces, m->count, sizeof(*m->pieces), by_base);
	for (size_t i = 0; i < m->count; i++) {
		const struct inode *base = m->pieces[i].base;
		if ((i > 0 && m->pieces[i - 1].base == base) ||
			(i + 1 < m->count && m->pieces[i + 1].base == base))
			mark_names(m, m->pieces[i].inode);
	}
}

static void forget_decided(const struct inode *inode)
{
	if (inode != NULL && inode->names != NULL)
		inode->names->flags &= (uint8_t)~DENTRY_DECIDED;
}

int changes_mark(struct tree *tree, struct changes *changes, struct error *err)
{
	size_t count;
	struct dentry *const *touched = tree_touched(tree, &count);
	struct marking m = {.changes = changes};
	int r = 0;
	*changes = (struct changes){0};
	tree_clear_marks(tree);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct dentry *d = touched[i];
		if (d->inode == NULL && d->base != NULL && d->parent->inode != NULL &&
			inode_is_dir(d->parent->inode)) {
			mark(d, DENTRY_WHITEOUT);
			changes->whiteouts++;
		}
		r = decide(&m, d->inode, err);
		/* The inode that had the name may have lost it alone, and keep others. */
		if (r == 0)
			r = decide(&m, d->base, err);
	}
	if (r == 0)
		decide_pieces(&m);
	free(m.pieces);
	for (size_t i = 0; i < count; i++) {
		forget_decided(touched[i]->inode);
		forget_decided(touched[i]->base);
	}
	tree_sort_marked(tree);
	return r;
}

void changes_mark_all(struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	tree_sort(tree);
	tree_clear_marks(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (d->inode != NULL)
			mark(d, DENTRY_WRITE);
	}
}
