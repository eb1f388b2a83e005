#include "layer/place.h"

#include <errno.h>
#include <string.h>

#include "support/buffer.h"
#include "support/memory.h"

/* As the kernel's limit on symlinks in one path (MAXSYMLINKS). */
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

static bool is_dotdot(const char *part, size_t len)
{
	return len == 2 && part[0] == '.' && part[1] == '.';
}

static int check_parts(const char *path, struct error *err)
{
	size_t len;
	for (const char *part = next_part(path, &len); len != 0;
		part = next_part(part + len, &len)) {
		if (is_dotdot(part, len))
			return error_set(err, ERROR_INPUT, EINVAL,
				"%s: a name with \"..\" would lead out of the image", path);
		/* A whiteout's name is longer than the one that it takes away. */
		size_t most = TREE_NAME_MAX + (strncmp(part, ".wh.", 4) == 0 ? 4 : 0);
		if (len > most)
			return error_set(err, ERROR_INPUT, ENAMETOOLONG,
				"%s: a part of the name has %zu bytes; the most is %d", path, len,
				TREE_NAME_MAX);
	}
	return 0;
}

static struct dentry *make_dir(struct tree *tree, struct dentry *dir, const char *name, size_t len)
{
	return tree_link(tree, dir, name, len, tree_inode_new(tree, S_IFDIR | 0755));
}

/*
 * Walks all parts of path from the root; symlinks are replaced by their targets in a path of our
 * own. Returns the directory in *out; NULL where it is not there and must not be made.
 */
static int walk_dirs(struct tree *tree, const char *path, size_t path_len, enum place_mode mode,
	struct dentry **out, struct error *err)
{
	cleanup_free char *rest = xstrndup(path, path_len);
	const char *at = rest;
	struct dentry *dir = tree_root(tree);
	unsigned symlinks = 0;
	size_t len;
	*out = NULL;
	for (const char *part = next_part(at, &len); len != 0; part = next_part(at, &len)) {
		at = part + len;
		if (is_dotdot(part, len)) {
			dir = dir->parent != NULL ? dir->parent : dir;
			continue;
		}
		if (len > TREE_NAME_MAX)
			return error_set(err, ERROR_INPUT, ENAMETOOLONG,
				"%.*s: a symlink in it leads to a name of %zu bytes; the most is "
				"%d",
				(int)path_len, path, len, TREE_NAME_MAX);
		struct dentry *d = tree_find(tree, dir, part, len);
		if (d == NULL) {
			if (mode == PLACE_EXISTING)
				return 0;
			if (symlinks != 0)
				return error_set(err, ERROR_INPUT, ENOENT,
					"%.*s: a symlink in it leads to \"%.*s\", which is not "
					"there",
					(int)path_len, path, (int)len, part);
			d = make_dir(tree, dir, part, len);
		}
		if (S_ISLNK(d->inode->mode)) {
			if (++symlinks > SYMLINKS_MAX)
				return error_set(err, ERROR_INPUT, ELOOP,
					"%.*s: more than %d symlinks in its parents", (int)path_len,
					path, SYMLINKS_MAX);
			char *longer = xasprintf("%s/%s", d->inode->target, at);
			if (d->inode->target[0] == '/')
				dir = tree_root(tree);
			free(rest);
			at = rest = longer;
			continue;
		}
		if (!inode_is_dir(d->inode)) {
			if (mode == PLACE_EXISTING)
				return 0;
			return error_set(err, ERROR_INPUT, ENOTDIR,
				"%.*s: its parent \"%.*s\" is no directory", (int)path_len, path,
				(int)len, part);
		}
		dir = d;
	}
	*out = dir;
	return 0;
}

int place_find(struct tree *tree, const char *path, enum place_mode mode, struct place *place,
	struct error *err)
{
	int r = check_parts(path, err);
	if (r < 0)
		return r;
	*place = (struct place){.dir = tree_root(tree)};
	const char *last = NULL;
	size_t last_len = 0;
	size_t len;
	for (const char *part = next_part(path, &len); len != 0;
		part = next_part(part + len, &len)) {
		last = part;
		last_len = len;
	}
	if (last == NULL)
		return 0;
	place->name = last;
	place->len = last_len;
	return walk_dirs(tree, path, (size_t)(last - path), mode, &place->dir, err);
}
