#include "layer/place.h"

#include <errno.h>
#include <string.h>

#include "tree/follow.h"

/* Symlinks among the parents of one name, as the kernel's limit (MAXSYMLINKS): each costs a walk.
 */
#define SYMLINKS_MAX 40

/* The next part of a path, without "." and empty ones; len is 0 at the end. */
static const char *next_part(const char *at, size_t *len)
{
	for (;;) {
		at += strspn(at, "/");
		*len = strcspn(at, "/");
		if (*len != 1 || at[0] != '.')
			return at;
		at++;
	}
}

const char *place_last_part(const char *path, size_t *last_len)
{
	const char *last = path;
	size_t len;
	*last_len = 0;
	for (const char *part = next_part(path, &len); len != 0;
		part = next_part(part + len, &len)) {
		last = part;
		*last_len = len;
	}
	return last;
}

/*
 * Walks the first path_len bytes of a path from the root. *out: the directory; NULL where it is
 * not there and must not be made.
 */
static int walk_dirs(struct tree *tree, const char *path, size_t path_len, enum place_mode mode,
	struct dentry **out, struct error *err)
{
	const char *end = path + path_len;
	struct dentry *dir = tree_root(tree);
	unsigned symlinks = 0;
	size_t len;
	*out = NULL;
	for (const char *part = next_part(path, &len); part < end;
		part = next_part(part + len, &len)) {
		struct dentry *d = tree_find(tree, dir, part, len);
		if (mode == PLACE_LOWER && d != NULL && (d->flags & DENTRY_BARRED))
			return 0;
		if (d == NULL) {
			if (mode != PLACE_MAKE_PARENTS)
				return 0;
			d = tree_link(tree, dir, part, len, tree_inode_new(tree, S_IFDIR | 0755));
		}
		bool is_symlink = S_ISLNK(d->inode->mode);
		bool too_many = is_symlink && ++symlinks > SYMLINKS_MAX;
		if (too_many && mode != PLACE_MAKE_PARENTS)
			return 0;
		if (too_many)
			return error_set(err, ERROR_INPUT, ELOOP,
				"%s: more than %d symlinks in its parents", path, SYMLINKS_MAX);
		if (is_symlink)
			d = tree_follow(tree, d);
		if (d == NULL || !inode_is_dir(d->inode)) {
			if (mode != PLACE_MAKE_PARENTS)
				return 0;
			return error_set(err, ERROR_INPUT, ENOTDIR, "%s: its parent \"%.*s\" is %s",
				path, (int)len, part,
				!is_symlink ? "no directory"
				: d == NULL ? "a symlink to what is not there, or in a loop"
					    : "a symlink to what is no directory");
		}
		dir = d;
	}
	*out = dir;
	return 0;
}

int place_find(struct tree *tree, const char *path, enum place_mode mode, struct place *place,
	struct error *err)
{
	*place = (struct place){.dir = tree_root(tree)};
	place->name = place_last_part(path, &place->len);
	if (place->len == 0)
		return 0;
	return walk_dirs(tree, path, (size_t)(place->name - path), mode, &place->dir, err);
}
