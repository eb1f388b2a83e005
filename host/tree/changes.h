/*
 * What differs between the base and the current state of a tree: the new layer, by the rules of
 * the OCI image-spec (layer.md, "Representing changes").
 */
#ifndef LAYERVM_TREE_CHANGES_H
#define LAYERVM_TREE_CHANGES_H

#include "tree/tree.h"

struct changes {
	uint64_t written;   /* entries that the layer holds, parents for their own sake excluded */
	uint64_t whiteouts; /* names that it takes away */
};

/* In what two inodes differ. */
enum {
	DIFFERENCE_TYPE = 1,    /* the others but owner, mode and xattrs say nothing then */
	DIFFERENCE_MODE = 2,    /* permission bits */
	DIFFERENCE_OWNER = 4,   /* uid or gid */
	DIFFERENCE_SIZE = 8,    /* of a regular file */
	DIFFERENCE_TARGET = 16, /* of a symlink */
	DIFFERENCE_DEVICE = 32, /* major or minor number */
	DIFFERENCE_XATTRS = 64,
	DIFFERENCE_MTIME = 128,
	DIFFERENCE_CONTENT = 256, /* of regular files of one size */
	DIFFERENCE_NAMES = 512,   /* the set of hard links: changes_compare only */
};

/* In what two inodes differ, without their content: a set of DIFFERENCE_. */
unsigned inode_compare(const struct inode *a, const struct inode *b);

/*
 * In what a name that is in both states differs between them: all of DIFFERENCE_, but that the
 * root's mtime is no difference. Returns 0 or a read error of a source.
 */
int changes_compare(const struct dentry *dentry, unsigned *differences, struct error *err);

/*
 * Sets DENTRY_WRITE, DENTRY_WHITEOUT and DENTRY_BELOW, clears those of an earlier call, and sorts
 * what is marked (tree_sort_marked). Looks at nothing but touched names (tree_touched), the inodes
 * that they name or named, and the directories above marks: the cost grows with the change.
 * - an inode whose data or metadata changed, or that has a name which was not its own, is written
 *   under all its names;
 * - an inode that only lost names is not, unless another inode has the lost names and is the same
 *   but for them: then both are written;
 * - a name that is gone gets a whiteout, unless a directory above it is gone or no directory;
 * - the directories above a written name or whiteout are written, with their own metadata;
 * - the root is written only for its owner, mode or attributes: its mtime is no change;
 * - a DENTRY_SCAFFOLD directory that the base lacks and that holds nothing but such directories
 *   is no change.
 * Content is compared only where metadata is equal. Returns 0 or a read error of a source.
 */
int changes_mark(struct tree *tree, struct changes *changes, struct error *err);

/* Marks every current name DENTRY_WRITE: the whole tree as one layer. Sorts the tree. */
void changes_mark_all(struct tree *tree);

#endif
