/* A tree as text, a line an entry: what tests compare and show. */
#ifndef LAYERVM_TREE_DUMP_H
#define LAYERVM_TREE_DUMP_H

#include "support/buffer.h"
#include "tree/tree.h"

/*
 * Adds the current state to out, sorted by path, a line an entry:
 *   PATH TYPE MODE UID:GID SIZE MTIME.NSEC [DEVICE|-> TARGET|sha256:CONTENT] [=FIRST-NAME]
 * [XATTR=HEX ...] Bytes that are not printable ASCII, spaces and backslashes in paths are \xNN.
 * "=FIRST-NAME" is the first path, in order, of a file with several names.
 */
int tree_dump(struct tree *tree, struct buffer *out, struct error *err);

#endif
