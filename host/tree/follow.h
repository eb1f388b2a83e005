/* Symlinks of an image, resolved within its root and never on the host. */
#ifndef LAYERVM_TREE_FOLLOW_H
#define LAYERVM_TREE_FOLLOW_H

#include "tree/tree.h"

/*
 * The entry that a symlink leads to in the current state, through further symlinks; ".." of the
 * root is the root. NULL where it leads nowhere, or through more than 40 symlinks.
 */
struct dentry *tree_follow(struct tree *tree, const struct dentry *link);

#endif
