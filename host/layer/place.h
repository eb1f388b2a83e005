/* Names of archive members as places in a tree, resolved within its root. */
#ifndef LAYERVM_LAYER_PLACE_H
#define LAYERVM_LAYER_PLACE_H

#include "tree/tree.h"

/* Where a member goes: a directory and the last part of its name. */
struct place {
	struct dentry *dir;
	const char *name; /* points into the path that was resolved */
	size_t len;       /* 0: the root itself */
};

/* The last part of a member's name that says something: not "." or empty. *len: 0 for the root. */
const char *place_last_part(const char *path, size_t *len);

enum place_mode {
	PLACE_MAKE_PARENTS, /* omitted parents are made: mode 0755, uid and gid 0, mtime 0 */
	PLACE_EXISTING,     /* place->dir is NULL where a parent is not there */
	PLACE_LOWER,        /* the same; symlinks with DENTRY_BARRED are not there */
};

/*
 * Resolves the parents of a member's name, which member_path_clean gave: symlinks among them are
 * followed within the root (tree_follow), at most 40. With PLACE_MAKE_PARENTS more of them are an
 * ERROR_INPUT, and so are parents that are no directories.
 */
int place_find(struct tree *tree, const char *path, enum place_mode mode, struct place *place,
	struct error *err);

#endif
