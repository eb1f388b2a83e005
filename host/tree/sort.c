#include "tree/tree.h"

#include <string.h>

static int compare_names(const struct dentry *a, const struct dentry *b)
{
	size_t len = a->name_len < b->name_len ? a->name_len : b->name_len;
	int order = memcmp(a->name, b->name, len);
	return order != 0 ? order : (int)a->name_len - (int)b->name_len;
}

static bool is_sorted(const struct dentry *list)
{
	for (; list != NULL && list->next != NULL; list = list->next) {
		if (compare_names(list, list->next) > 0)
			return false;
	}
	return true;
}

static struct dentry *merge(struct dentry *a, struct dentry *b)
{
	struct dentry *head = NULL;
	struct dentry **tail = &head;
	while (a != NULL && b != NULL) {
		struct dentry **smaller = compare_names(a, b) <= 0 ? &a : &b;
		*tail = *smaller;
		tail = &(*tail)->next;
		*smaller = *tail;
	}
	*tail = a != NULL ? a : b;
	return head;
}

/* Bottom-up merge sort: runs[i] is empty or a sorted list of 2^i names. */
static struct dentry *sort_list(struct dentry *list)
{
	struct dentry *runs[48] = {NULL};
	while (list != NULL) {
		struct dentry *run = list;
		list = list->next;
		run->next = NULL;
		size_t i = 0;
		for (; runs[i] != NULL; i++) {
			run = merge(runs[i], run);
			runs[i] = NULL;
		}
		runs[i] = run;
	}
	struct dentry *sorted = NULL;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		sorted = merge(runs[i], sorted);
	return sorted;
}

/*
 * Puts a name into its inode's list again, in the order of a walk over a sorted tree, after the
 * list was emptied: the first that comes is the head, the others follow in any order.
 */
static void add_name(struct dentry *d)
{
	struct dentry *first = d->inode->names;
	struct dentry **link = first == NULL ? &d->inode->names : &first->next_name;
	d->next_name = first == NULL ? NULL : *link;
	if (d->next_name != NULL)
		d->next_name->name_link = &d->next_name;
	*link = d;
	d->name_link = link;
}

void tree_sort(struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (!is_sorted(d->children))
			d->children = sort_list(d->children);
		if (d->inode != NULL)
			d->inode->names = NULL;
	}
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (d->inode != NULL)
			add_name(d);
	}
}

void tree_sort_marked(struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next_marked(root, d)) {
		if ((d->flags & DENTRY_BELOW) && !is_sorted(d->children))
			d->children = sort_list(d->children);
		if (d->flags & DENTRY_WRITE)
			d->inode->names = NULL;
	}
	for (struct dentry *d = root; d != NULL; d = tree_next_marked(root, d)) {
		if (d->flags & DENTRY_WRITE)
			add_name(d);
	}
}
