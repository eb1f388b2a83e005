/*
 * What the members of one layer do to the tree of those below. When the layer has ended, its
 * whiteouts take effect, and then its entries come into the tree. So a whiteout hides nothing of
 * its own layer, and a directory that it hides is made anew by entries below that name, wherever
 * in the layer the whiteout stands (image-spec, layer.md, "Whiteouts": they apply to lower layers
 * only). Whiteouts find their directories in the lower layers' tree, through symlinks too; but not
 * through one that a whiteout of the same layer takes away or a directory of the same layer
 * replaces: overlayfs marks such a directory as opaque, and what the symlink led to has to stay.
 * Where no layer is below, whiteouts have no effect and entries need not wait.
 */
#ifndef LAYERVM_LAYER_MERGE_H
#define LAYERVM_LAYER_MERGE_H

#include <stdbool.h>

#include "layer/member_path.h"
#include "support/buffer.h"
#include "tree/tree.h"

struct given;

struct merge {
	struct tree *tree;
	bool has_lower;
	struct given *given; /* entries and whiteouts that wait for the layer's end */
	size_t given_count, given_capacity;
	struct buffer names;     /* theirs, each with its NUL */
	struct dentry **flagged; /* DENTRY_BARRED or DENTRY_OPAQUE, to be cleared in the end */
	size_t flagged_count, flagged_capacity;
	void *linked; /* files of ".wh..wh.plnk": a tree of tsearch(3) */
};

/* Begins a layer. merge_free ends the layer, after a failure too. */
void merge_begin(struct merge *merge, struct tree *tree);
void merge_free(struct merge *merge);
#define cleanup_merge __attribute__((cleanup(merge_free)))

/* A member of kind MEMBER_WHITEOUT or MEMBER_OPAQUE. */
int merge_whiteout(struct merge *merge, const struct member_path *path, struct error *err);

/* A member of kind MEMBER_ENTRY that is an inode of its own. */
int merge_inode(struct merge *merge, const struct member_path *path, struct inode *inode,
	struct error *err);

/* A member of kind MEMBER_ENTRY that is a hard link. */
int merge_link(struct merge *merge, const struct member_path *path,
	const struct member_path *target, struct error *err);

/* A member of kind MEMBER_LINKED: hard links of this layer that name it become the inode's names.
 */
void merge_linked(struct merge *merge, const struct member_path *path, struct inode *inode);

/* Fails with ERROR_LIMIT where the layer's members take more than they may: see tree_check. */
int merge_check(const struct merge *merge, struct error *err);

/* The layer has ended: what waited comes into the tree. */
int merge_finish(struct merge *merge, struct error *err);

#endif
