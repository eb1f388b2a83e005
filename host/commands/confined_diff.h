/*
 * The disk that the guest wrote is hostile: what reads it runs in a child process that can do
 * nothing but read and write descriptors it already has.
 */
#ifndef LAYERVM_COMMANDS_CONFINED_DIFF_H
#define LAYERVM_COMMANDS_CONFINED_DIFF_H

#include "disk/disk.h"
#include "layer/layer.h"
#include "support/error.h"
#include "tree/changes.h"
#include "tree/tree.h"

/* What is read, and what is made of it. */
struct confined_diff {
	int base, overlay; /* the guest's disk, as for disk_reread */
	/* What is done to the tree after it was read and before it is compared; or NULL. */
	int (*settle)(const void *context, struct tree *tree, struct error *err);
	const void *context; /* for settle */
	int layer;           /* file that gets the changes as a layer; -1: none is made */
	const struct layer_options *layer_options;
	struct disk_sockets *sockets; /* gets those that were left out, of a guest; or NULL */
	int list; /* file that gets the changes as lines (diff_list); -1: none are made */
};

/*
 * Brings the tree to what the guest left on base + overlay (disk_reread), marks the changes and
 * writes the layer and the list, all in a forked child under seccomp; the caller's tree stays as
 * it was. changes, and info where there is a layer, are filled on success; the layer's digest and
 * size are what this process reads in the file while the child adds to it. What is in the list
 * has met the hostile disk. The child is ended as soon as it has answered, and no file of it gets
 * larger than LAYER_SIZE_MAX. One that dies is an ERROR_GUEST; a signal (interrupt.h) ends it.
 */
int confined_diff(struct tree *tree, const struct confined_diff *what, struct changes *changes,
	struct layer_info *info, struct error *err);

/* What follows the reading, without a child: for a tree that another reader brought there. */
int confined_diff_write(struct tree *tree, const struct confined_diff *what,
	struct changes *changes, struct layer_info *info, struct error *err);

#endif
