#include "layer/merge.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <string.h>

#include "layer/place.h"
#include "support/interrupt.h"
#include "support/memory.h"

/* A member of the layer. */
struct given {
	enum member_kind kind;
	struct inode *inode; /* NULL: a hard link, or no MEMBER_ENTRY */
	size_t path, target; /* where in `names` */
};

/* A file of ".wh..wh.plnk". */
struct linked {
	struct inode *inode;
	char path[];
};

static int compare_linked(const void *a, const void *b)
{
	return strcmp(((const struct linked *)a)->path, ((const struct linked *)b)->path);
}

void merge_begin(struct merge *merge, struct tree *tree)
{
	*merge = (struct merge){.tree = tree, .has_lower = tree_count(tree) > 1};
}

void merge_free(struct merge *merge)
{
	for (size_t i = 0; i < merge->flagged_count; i++)
		merge->flagged[i]->flags &= (uint8_t) ~(DENTRY_OPAQUE | DENTRY_BARRED);
	tdestroy(merge->linked, free);
	free(merge->flagged);
	free(merge->given);
	buffer_free(&merge->names);
}

static size_t keep_name(struct merge *merge, const char *name)
{
	size_t at = merge->names.len;
	buffer_add(&merge->names, name, strlen(name) + 1);
	return at;
}

/* Keeps a member for the layer's end. The names are copied. */
static struct given *keep(struct merge *merge, enum member_kind kind, const char *path)
{
	merge->given = array_grow(
		merge->given, merge->given_count, &merge->given_capacity, sizeof(*merge->given));
	struct given *given = &merge->given[merge->given_count++];
	*given = (struct given){.kind = kind, .path = keep_name(merge, path)};
	return given;
}

int merge_whiteout(struct merge *merge, const struct member_path *path, struct error *err)
{
	const char *name = path->text + path->last + strlen(WHITEOUT_PREFIX);
	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return error_set(err, ERROR_INPUT, EINVAL, "%s: a whiteout of no name", path->text);
	if (merge->has_lower)
		keep(merge, member_path_kind(path), path->text);
	return 0;
}

static void flag(struct merge *merge, struct dentry *d, uint8_t flag)
{
	d->flags |= flag;
	merge->flagged = array_grow(merge->flagged, merge->flagged_count, &merge->flagged_capacity,
		sizeof(struct dentry *));
	merge->flagged[merge->flagged_count++] = d;
}

/* Bars a symlink that the layer takes away or replaces by a directory. */
static void bar_symlink(struct merge *merge, const struct given *given, const char *path)
{
	struct place place;
	struct error err;
	size_t prefix = given->kind == MEMBER_WHITEOUT ? strlen(WHITEOUT_PREFIX) : 0;
	if (given->kind == MEMBER_OPAQUE ||
		(prefix == 0 && (given->inode == NULL || !inode_is_dir(given->inode))))
		return;
	/* What is wrong with the path is told when the member takes effect. */
	if (place_find(merge->tree, path, PLACE_EXISTING, &place, &err) < 0 || place.dir == NULL ||
		place.len == 0)
		return;
	struct dentry *d =
		tree_find(merge->tree, place.dir, place.name + prefix, place.len - prefix);
	if (d != NULL && S_ISLNK(d->inode->mode) && !(d->flags & DENTRY_BARRED))
		flag(merge, d, DENTRY_BARRED);
}

/* No directory is looked through twice, however often a layer says that it is opaque. */
static void empty(struct merge *merge, struct dentry *dir)
{
	if (dir->flags & DENTRY_OPAQUE)
		return;
	for (struct dentry *d = dir->children; d != NULL; d = d->next) {
		if (d->inode != NULL)
			tree_unlink(merge->tree, d);
	}
	flag(merge, dir, DENTRY_OPAQUE);
}

static int hide(struct merge *merge, enum member_kind kind, const char *path, struct error *err)
{
	struct place place;
	size_t prefix = strlen(WHITEOUT_PREFIX);
	int r = place_find(merge->tree, path, PLACE_LOWER, &place, err);
	if (r < 0 || place.dir == NULL)
		return r; /* where the directory is not there, nothing is to be taken away */
	if (kind == MEMBER_OPAQUE) {
		empty(merge, place.dir);
		return 0;
	}
	struct dentry *d =
		tree_find(merge->tree, place.dir, place.name + prefix, place.len - prefix);
	if (d != NULL)
		tree_unlink(merge->tree, d);
	return 0;
}

/* The inode that a hard link names. */
static int find_target(struct merge *merge, const char *path, const char *target,
	struct inode **out, struct error *err)
{
	struct place place;
	int r = place_find(merge->tree, target, PLACE_EXISTING, &place, err);
	if (r < 0)
		return r;
	const struct dentry *d = place.dir == NULL || place.len == 0
					 ? NULL
					 : tree_find(merge->tree, place.dir, place.name, place.len);
	if (d == NULL)
		return error_set(err, ERROR_INPUT, ENOENT,
			"%s: a hard link to \"%s\", which is not there", path, target);
	if (inode_is_dir(d->inode))
		return error_set(err, ERROR_INPUT, EISDIR,
			"%s: a hard link to \"%s\", which is a directory", path, target);
	*out = d->inode;
	return 0;
}

/* Brings an entry into the tree. target: of a hard link, for which inode is NULL. */
static int give(struct merge *merge, const char *path, struct inode *inode, const char *target,
	struct error *err)
{
	struct place place;
	int r = place_find(merge->tree, path, PLACE_MAKE_PARENTS, &place, err);
	if (r == 0 && inode == NULL)
		r = find_target(merge, path, target, &inode, err);
	if (r < 0 || inode == NULL)
		return r;
	if (place.len != 0)
		tree_link(merge->tree, place.dir, place.name, place.len, inode);
	else if (inode_is_dir(inode))
		tree_relink(merge->tree, tree_root(merge->tree), inode);
	else
		return error_set(err, ERROR_INPUT, EINVAL, "the root is to be no directory");
	return tree_check(merge->tree, err);
}

int merge_inode(
	struct merge *merge, const struct member_path *path, struct inode *inode, struct error *err)
{
	if (!merge->has_lower)
		return give(merge, path->text, inode, NULL, err);
	keep(merge, MEMBER_ENTRY, path->text)->inode = inode;
	return 0;
}

int merge_link(struct merge *merge, const struct member_path *path,
	const struct member_path *target, struct error *err)
{
	if (member_path_kind(target) == MEMBER_LINKED) {
		cleanup_free struct linked *key = xmalloc(sizeof(*key) + target->len + 1);
		memcpy(key->path, target->text, target->len + 1);
		struct linked *const *found = tfind(key, &merge->linked, compare_linked);
		if (found != NULL)
			return merge_inode(merge, path, (*found)->inode, err);
	}
	if (!merge->has_lower)
		return give(merge, path->text, NULL, target->text, err);
	struct given *given = keep(merge, MEMBER_ENTRY, path->text);
	given->target = keep_name(merge, target->text);
	return 0;
}

void merge_linked(struct merge *merge, const struct member_path *path, struct inode *inode)
{
	cleanup_free struct linked *linked = xmalloc(sizeof(*linked) + path->len + 1);
	memcpy(linked->path, path->text, path->len + 1);
	linked->inode = inode;
	struct linked **found = tsearch(linked, &merge->linked, compare_linked);
	if (found == NULL)
		abort();
	if (*found == linked)
		steal_ptr(&linked);
	else
		(*found)->inode = inode;
}

/* Lets the whiteouts take effect, or brings the entries into the tree. */
static int apply(struct merge *merge, bool whiteouts, struct error *err)
{
	const char *names = (const char *)merge->names.data;
	int r = 0;
	for (size_t i = 0; r == 0 && i < merge->given_count; i++) {
		const struct given *given = &merge->given[i];
		const char *path = names + given->path;
		if ((given->kind != MEMBER_ENTRY) != whiteouts)
			continue;
		r = interrupt_check(err);
		if (r == 0 && whiteouts)
			r = hide(merge, given->kind, path, err);
		else if (r == 0)
			r = give(merge, path, given->inode, names + given->target, err);
	}
	return r;
}

int merge_check(const struct merge *merge, struct error *err)
{
	if (merge->given_count > TREE_NAMES_MAX || merge->names.len > TREE_BYTES_MAX)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"a layer of more than %" PRIu64
			" entries, or with names of more than %" PRIu64
			" bytes, which is the limit",
			TREE_NAMES_MAX, TREE_BYTES_MAX);
	return tree_check(merge->tree, err);
}

int merge_finish(struct merge *merge, struct error *err)
{
	for (size_t i = 0; i < merge->given_count; i++) {
		const struct given *given = &merge->given[i];
		bar_symlink(merge, given, (const char *)merge->names.data + given->path);
	}
	int r = apply(merge, true, err);
	return r < 0 ? r : apply(merge, false, err);
}
