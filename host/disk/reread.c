/*
 * What the guest changed, from the inodes that differ. The cost grows with the change: of the
 * inode tables the blocks that the overlay holds are read, of the directories those whose inode
 * differs and those that were moved; the way to a changed file leads over the tree's own names.
 * Inodes are found by the numbers that they got when the disk was made (tree_numbered).
 */
#include "disk/reread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "support/interrupt.h"
#include "support/memory.h"

#define INODES_PER_BLOCK (DISK_BLOCK_SIZE / REREAD_INODE_SIZE)

/* A directory that the walk will go into. */
struct pending {
	struct dentry *dentry;
	bool read; /* its names from the disk; else the tree's names stand */
};

struct walk {
	struct reread *reread;
	struct pending *stack;
	size_t count;
	size_t capacity;
};

static void cleanup_reread_fn(struct reread *r)
{
	free(r->inode_tables);
	free(r->flags);
	free(r->resolved);
	free(r->values);
	free(r->claimed);
}

static void cleanup_walk_fn(struct walk *walk)
{
	free(walk->stack);
}

static void push(struct walk *w, struct dentry *dentry, bool read)
{
	w->stack = array_grow(w->stack, w->count, &w->capacity, sizeof(*w->stack));
	w->stack[w->count++] = (struct pending){.dentry = dentry, .read = read};
}

/* The numbers that inodes of the tree have are the disk's, or the tree is another disk's. */
static int check_number(const struct reread *r, const struct dentry *d, struct error *err)
{
	uint32_t ino = d->inode->ino;
	if (ino != 0 && ino <= r->inode_count && tree_numbered(r->tree, ino) == d->inode &&
		(d->parent == NULL) == (ino == EXT2_ROOT_INO))
		return 0;
	cleanup_free char *path = tree_path(d);
	return error_set(err, ERROR_INTERNAL, EINVAL,
		"the tree is not that of the disk: /%s is inode %u", path, ino);
}

static int check_tree(const struct reread *r, struct error *err)
{
	uint32_t last = tree_last_number(r->tree);
	if (last > r->inode_count)
		return error_set(err, ERROR_INTERNAL, EINVAL,
			"the tree is not that of the disk: it has inode %u, the disk %u inodes",
			last, r->inode_count);
	return check_number(r, tree_root(r->tree), err);
}

/* Of an inode that the tree did not number, such as one made since, nothing is known. */
static uint8_t flags_of(const struct reread *r, const struct inode *inode)
{
	return inode->ino <= r->inode_count ? r->flags[inode->ino] : 0;
}

/* Marks the directories that lead to the names of an inode. */
static int mark_above(struct reread *r, const struct inode *inode, struct error *err)
{
	for (const struct dentry *name = inode->names; name != NULL; name = name->next_name) {
		int code = check_number(r, name, err);
		for (const struct dentry *d = name->parent; code == 0 && d != NULL; d = d->parent) {
			code = check_number(r, d, err);
			if (code < 0 || (r->flags[d->inode->ino] & REREAD_ABOVE))
				break;
			r->flags[d->inode->ino] |= REREAD_ABOVE;
		}
		if (code < 0)
			return code;
	}
	return 0;
}

/* Compares one block of an inode table with the base's. ino: the block's first inode. */
static int scan_block(struct reread *r, uint64_t block, uint32_t ino, struct error *err)
{
	uint8_t base[DISK_BLOCK_SIZE];
	uint8_t after[DISK_BLOCK_SIZE];
	uint64_t offset = block * DISK_BLOCK_SIZE;
	int code = disk_view_read_base(r->view, base, sizeof(base), offset, err);
	if (code == 0)
		code = disk_view_read(r->view, after, sizeof(after), offset, err);
	if (code < 0)
		return code;
	for (size_t at = 0; code == 0 && at < DISK_BLOCK_SIZE; at += REREAD_INODE_SIZE, ino++) {
		if (memcmp(base + at, after + at, REREAD_INODE_SIZE) == 0)
			continue;
		r->flags[ino] |= REREAD_CHANGED;
		const struct inode *inode = tree_numbered(r->tree, ino);
		if (inode != NULL)
			code = mark_above(r, inode, err);
	}
	return code;
}

static int scan_inode_tables(struct reread *r, struct error *err)
{
	for (uint32_t ino = 1; ino < r->inode_count; ino += INODES_PER_BLOCK) {
		uint32_t group = (ino - 1) / r->inodes_per_group;
		uint32_t index = (ino - 1) % r->inodes_per_group;
		uint64_t block = r->inode_tables[group] + index / INODES_PER_BLOCK;
		if (!disk_view_holds(r->view, block))
			continue;
		int code = scan_block(r, block, ino, err);
		if (code < 0)
			return code;
	}
	return 0;
}

/* The state of an inode after the run. */
static int resolve(struct reread *r, uint32_t ino, struct inode **out, struct error *err)
{
	uint8_t *flags = &r->flags[ino];
	*out = tree_numbered(r->tree, ino);
	if (*out != NULL && !(*flags & REREAD_CHANGED))
		return 0;
	if (!(*flags & REREAD_RESOLVED)) {
		int code = interrupt_check(err);
		if (code == 0)
			code = reread_inode(r, ino, &r->resolved[ino], err);
		/* Many inodes may share one block of attributes, and each gets a copy. */
		if (code == 0)
			code = tree_check(r->tree, err);
		if (code < 0)
			return code;
		*flags |= REREAD_RESOLVED;
	}
	*out = r->resolved[ino];
	return 0;
}

/*
 * A directory that comes to a new place must have left its old one: the directory that held it
 * has changed, or still holds it at the new place because it was moved itself. old: the
 * directory in the tree's state, NULL for a new one.
 */
static int check_moved(const struct reread *r, const struct inode *old, const struct dentry *parent,
	struct error *err)
{
	if (old == NULL || !inode_is_dir(old) || old->names == NULL)
		return 0;
	const struct dentry *from = old->names->parent;
	if (from != NULL && (from->inode->ino == parent->inode->ino ||
				    (flags_of(r, from->inode) & REREAD_CHANGED)))
		return 0;
	cleanup_free char *path = tree_path(old->names);
	return error_set(
		err, ERROR_GUEST, EUCLEAN, "directory inode %u is /%s too", old->ino, path);
}

/* An inode for a directory's new name: a directory's object has one name only. */
static struct inode *unnamed(struct reread *r, struct inode *inode)
{
	if (inode->names == NULL)
		return inode;
	struct inode *copy = tree_inode_new(r->tree, inode->mode);
	*copy = *inode;
	copy->names = NULL;
	copy->nlink = 0;
	copy->base_nlink = 0;
	return copy;
}

static int place_directory(struct walk *w, struct dentry *parent, const struct entry *e,
	struct inode *old, struct inode *inode, struct error *err)
{
	struct reread *r = w->reread;
	uint8_t *flags = &r->flags[e->ino];
	if (*flags & REREAD_REACHED)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"directory inode %u was reached by another name already", e->ino);
	*flags |= REREAD_REACHED;

	struct dentry *d = tree_find(r->tree, parent, e->name, e->name_len);
	if (d != NULL && d->inode == old) {
		tree_relink(r->tree, d, inode);
		if (*flags & (REREAD_CHANGED | REREAD_ABOVE))
			push(w, d, *flags & REREAD_CHANGED);
		return 0;
	}
	int code = check_moved(r, old, parent, err);
	if (code < 0)
		return code;
	if (d != NULL)
		tree_unlink(r->tree, d);
	d = tree_link(r->tree, parent, e->name, e->name_len, unnamed(r, inode));
	push(w, d, true);
	return 0;
}

static void note_socket(struct reread *r, const struct dentry *parent, const struct entry *e)
{
	struct disk_sockets *sockets = r->sockets;
	if (sockets == NULL)
		return;
	if (sockets->count < DISK_SOCKETS_NAMED) {
		cleanup_free char *folder = tree_path(parent);
		snprintf(sockets->paths[sockets->count], DISK_SOCKET_PATH_MAX, "/%s%s%.*s", folder,
			*folder != '\0' ? "/" : "", (int)e->name_len, e->name);
	}
	sockets->count++;
}

/* Gives the tree the entry that a directory has after the run. */
static int place(struct walk *w, struct dentry *parent, const struct entry *e, struct error *err)
{
	struct reread *r = w->reread;
	struct inode *old = tree_numbered(r->tree, e->ino);
	struct inode *inode;
	int code = resolve(r, e->ino, &inode, err);
	if (code < 0)
		return code;
	if (inode_is_dir(inode))
		return place_directory(w, parent, e, old, inode, err);

	struct dentry *d = tree_find(r->tree, parent, e->name, e->name_len);
	if (!S_ISSOCK(inode->mode)) {
		tree_link(r->tree, parent, e->name, e->name_len, inode);
		return 0;
	}
	note_socket(r, parent, e);
	if (d != NULL)
		tree_unlink(r->tree, d);
	return 0;
}

static void drop_vanished(struct reread *r, struct dentry *dir, const struct entries *entries)
{
	struct dentry *next;
	for (struct dentry *d = dir->children; d != NULL; d = next) {
		next = d->next;
		if (d->inode != NULL && entries_find(entries, d->name, d->name_len) == NULL)
			tree_unlink(r->tree, d);
	}
}

/* The names of an unchanged directory that lead to changes. */
static void list_changed(const struct reread *r, const struct dentry *dir, struct entries *out)
{
	for (const struct dentry *d = dir->children; d != NULL; d = d->next) {
		if (d->inode == NULL || !(flags_of(r, d->inode) & (REREAD_CHANGED | REREAD_ABOVE)))
			continue;
		out->items =
			array_grow(out->items, out->count, &out->capacity, sizeof(*out->items));
		out->items[out->count++] = (struct entry){
			.name = d->name, .ino = d->inode->ino, .name_len = d->name_len};
	}
}

static int visit(struct walk *w, const struct pending *p, struct error *err)
{
	struct reread *r = w->reread;
	struct dentry *dir = p->dentry;
	cleanup_entries struct entries entries = {0};
	int code = interrupt_check(err);
	if (code < 0)
		return code;
	if (p->read) {
		uint32_t parent = dir->parent != NULL ? dir->parent->inode->ino : EXT2_ROOT_INO;
		code = reread_directory(r, dir->inode->ino, parent, &entries, err);
		if (code < 0) {
			cleanup_free char *path = tree_path(dir);
			return error_wrap(err, code, "/%s", path);
		}
		drop_vanished(r, dir, &entries);
	} else {
		list_changed(r, dir, &entries);
	}
	for (size_t i = 0; code == 0 && i < entries.count; i++) {
		const struct entry *e = &entries.items[i];
		code = place(w, dir, e, err);
		if (code < 0) {
			cleanup_free char *path = tree_path(dir);
			return error_wrap(err, code, "/%s%s%.*s", path, *path != '\0' ? "/" : "",
				(int)e->name_len, e->name);
		}
	}
	return code;
}

static int walk_tree(struct reread *r, struct error *err)
{
	__attribute__((cleanup(cleanup_walk_fn))) struct walk w = {.reread = r};
	struct dentry *root = tree_root(r->tree);
	struct inode *inode;
	int code = resolve(r, EXT2_ROOT_INO, &inode, err);
	if (code < 0)
		return code;
	if (!inode_is_dir(inode))
		return error_set(err, ERROR_GUEST, EUCLEAN, "the root has mode 0%o, no directory",
			inode->mode);
	tree_relink(r->tree, root, inode);
	r->flags[EXT2_ROOT_INO] |= REREAD_REACHED;
	if (r->flags[EXT2_ROOT_INO] & (REREAD_CHANGED | REREAD_ABOVE))
		push(&w, root, r->flags[EXT2_ROOT_INO] & REREAD_CHANGED);
	while (code == 0 && w.count > 0) {
		struct pending next = w.stack[--w.count];
		code = visit(&w, &next, err);
	}
	return code;
}

int disk_reread_own(
	struct tree *tree, int base, int overlay, struct disk_sockets *sockets, struct error *err)
{
	__attribute__((cleanup(cleanup_reread_fn))) struct reread r = {
		.tree = tree, .sockets = sockets};
	int code = disk_view_open(base, overlay, &r.view, err);
	if (code < 0)
		return code;
	tree_own_source(tree, disk_view_source(r.view));
	code = reread_geometry(&r, err);
	if (code == 0)
		code = check_tree(&r, err);
	if (code < 0)
		return error_wrap(err, code, "guest disk");
	r.flags = xcalloc((size_t)r.inode_count + 1, sizeof(*r.flags));
	r.resolved = xcalloc((size_t)r.inode_count + 1, sizeof(struct inode *));
	r.values = xcalloc((size_t)r.inode_count + 1, sizeof(struct reread_value *));
	r.claimed = xcalloc((size_t)(r.block_count / 8 + 1), 1);
	code = scan_inode_tables(&r, err);
	if (code == 0)
		code = walk_tree(&r, err);
	return code < 0 ? error_wrap(err, code, "guest disk") : 0;
}

int disk_reread(struct tree *tree, int base, int overlay, struct error *err)
{
	return disk_reread_own(tree, fcntl(base, F_DUPFD_CLOEXEC, 3),
		fcntl(overlay, F_DUPFD_CLOEXEC, 3), NULL, err);
}
