#include "tree/follow.h"

#include <string.h>

#include "support/memory.h"

/* As the kernel's limit on symlinks in one path (MAXSYMLINKS). */
#define SYMLINKS_MAX 40

/* One part of a path from d on; NULL where there is no such entry. */
static struct dentry *step(struct tree *tree, struct dentry *d, const char *part, size_t len)
{
	if (!inode_is_dir(d->inode))
		return NULL;
	if (len == 1 && part[0] == '.')
		return d;
	if (len == 2 && part[0] == '.' && part[1] == '.')
		return d->parent != NULL ? d->parent : d;
	return tree_find(tree, d, part, len);
}

struct dentry *tree_follow(struct tree *tree, const struct dentry *link)
{
	cleanup_free char *path = xstrdup(link->inode->target);
	const char *at = path;
	struct dentry *d = path[0] == '/' ? tree_root(tree) : link->parent;
	unsigned followed = 1;
	while (*at != '\0') {
		size_t len = strcspn(at, "/");
		struct dentry *next = len != 0 ? step(tree, d, at, len) : d;
		at += len;
		at += strspn(at, "/");
		if (next == NULL)
			return NULL;
		if (!S_ISLNK(next->inode->mode)) {
			d = next;
			continue;
		}
		if (++followed > SYMLINKS_MAX)
			return NULL;
		char *longer = xasprintf("%s/%s", next->inode->target, at);
		d = longer[0] == '/' ? tree_root(tree) : next->parent;
		free(path);
		at = path = longer;
	}
	return d;
}
