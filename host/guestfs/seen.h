/* The tar that the helper hands back, as a tree. */
#ifndef LAYERVM_GUESTFS_SEEN_H
#define LAYERVM_GUESTFS_SEEN_H

#include <stdint.h>

#include "tree/tree.h"

/*
 * Fills an empty tree with a tar as libguestfs's tar-out writes it. tar: size bytes; it is
 * duplicated and stays open. name: for messages. Fails with ERROR_LIMIT, naming the path, where a
 * name begins with ".wh.": a file of a disk is no whiteout, and cannot be a file of an image.
 */
int seen_apply(struct tree *tree, int tar, uint64_t size, const char *name, struct error *err);

#endif
