#include "mark_oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "support/memory.h"

#define MARKS (DENTRY_WRITE | DENTRY_WHITEOUT | DENTRY_BELOW)

struct expected {
	const struct dentry *dentry;
	uint8_t marks;
};

struct oracle {
	struct expected *names;
	size_t count;
	struct changes changes;
};

static struct expected *find(struct oracle *o, const struct dentry *d)
{
	size_t i = 0;
	while (o->names[i].dentry != d)
		i++;
	return &o->names[i];
}

static void expect(struct oracle *o, const struct dentry *d, uint8_t mark)
{
	find(o, d)->marks |= mark;
	for (d = d->parent; d != NULL; d = d->parent)
		find(o, d)->marks |= DENTRY_BELOW;
}

/* A directory made for the guest, with nothing in it that was not. */
static bool is_left_out(const struct dentry *dir)
{
	for (const struct dentry *d = dir; d != NULL; d = tree_next(dir, d)) {
		if (d->inode != NULL && (!(d->flags & DENTRY_SCAFFOLD) || d->base != NULL))
			return false;
	}
	return true;
}

/* Whether an inode is as one of the base's, but for names that this one has besides. */
static bool is_part_of_base(const struct dentry *d)
{
	unsigned differences;
	struct error err;
	assert_int_equal(changes_compare(d, &differences, &err), 0);
	for (const struct dentry *n = d->inode->names; n != NULL; n = n->next_name) {
		if (n->base != d->base)
			return false;
	}
	return (differences & ~(unsigned)DIFFERENCE_NAMES) == 0;
}

static bool is_changed(struct dentry *root, const struct dentry *d)
{
	if (d->base == NULL)
		return !is_left_out(d);
	if (!is_part_of_base(d))
		return true;
	for (const struct dentry *n = root; n != NULL; n = tree_next(root, n)) {
		if (n->base == d->base && n->inode != NULL && n->inode != d->inode &&
			is_part_of_base(n))
			return true;
	}
	return false;
}

/* Every name by itself, whatever its inode's other names say. */
static void fill(struct oracle *o, struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	for (const struct dentry *d = root; d != NULL; d = tree_next(root, d))
		o->count++;
	o->names = xcalloc(o->count, sizeof(*o->names));
	size_t i = 0;
	for (const struct dentry *d = root; d != NULL; d = tree_next(root, d))
		o->names[i++].dentry = d;
	for (const struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (d->inode != NULL && is_changed(root, d)) {
			expect(o, d, DENTRY_WRITE);
			o->changes.written++;
		}
		if (d->inode == NULL && d->base != NULL && d->parent->inode != NULL &&
			inode_is_dir(d->parent->inode)) {
			expect(o, d, DENTRY_WHITEOUT);
			o->changes.whiteouts++;
		}
	}
}

static void check_name(struct oracle *o, const struct dentry *d)
{
	const struct expected *e = find(o, d);
	cleanup_free char *path = tree_path(d);
	if ((d->flags & MARKS) != e->marks)
		fail_msg("/%s: has marks %#x, expected %#x", path, d->flags & MARKS, e->marks);
	if (d->flags & DENTRY_DECIDED)
		fail_msg("/%s: is marked as decided", path);
	for (const struct dentry *n = d->children;
		(e->marks & DENTRY_BELOW) && n != NULL && n->next != NULL; n = n->next) {
		if (strcmp(n->name, n->next->name) >= 0)
			fail_msg("/%s: is not sorted", path);
	}
}

/* The walk meets the head of an inode's names before the others. */
static void check_heads(struct oracle *o, struct dentry *root)
{
	for (const struct dentry *d = root; d != NULL; d = tree_next_marked(root, d)) {
		if (!(d->flags & DENTRY_WRITE))
			continue;
		cleanup_free char *path = tree_path(d);
		struct expected *head = find(o, d->inode->names);
		if (d != d->inode->names && head->marks != UINT8_MAX)
			fail_msg("/%s: comes before the first of its inode's names", path);
		head->marks = UINT8_MAX;
	}
}

void check_mark(struct tree *tree, struct changes *changes)
{
	struct error err;
	struct oracle o = {0};
	struct dentry *root = tree_root(tree);
	fill(&o, tree);
	assert_int_equal(changes_mark(tree, changes, &err), 0);
	for (const struct dentry *d = root; d != NULL; d = tree_next(root, d))
		check_name(&o, d);
	check_heads(&o, root);
	assert_int_equal(changes->written, o.changes.written);
	assert_int_equal(changes->whiteouts, o.changes.whiteouts);
	free(o.names);
}
