/*
 * Data of the host's files, copied once to an unnamed temporary file: whatever happens to the
 * files meanwhile, the disk and the layer hold the same bytes. Holes stay holes.
 */
#ifndef LAYERVM_HOSTDIR_SPOOL_H
#define LAYERVM_HOSTDIR_SPOOL_H

#include "tree/tree.h"

/* All zero but the tree is an empty spool. What it holds belongs to the tree; nothing to free. */
struct spool {
	struct tree *tree;
	struct source *source; /* NULL: no data so far */
	uint64_t end;
};

/*
 * Copies a file and makes the copy the data of inode.
 * fd: a regular file, opened for reading; as many bytes as it has now are taken, and fewer
 * meanwhile are an error. path: for messages.
 */
int spool_add(
	struct spool *spool, int fd, const char *path, struct inode *inode, struct error *err);

#endif
