/*
 * Files whose bytes come in order only: a source over a feed. Who writes the files of a tree says
 * so first (forward_expect) and reads each of their bytes once. What the feed gives before its turn
 * goes to an unnamed temporary file until then; of what nobody wants nothing is kept. So the files
 * of a layer that has them in the order in which they are read are never on disk.
 */
#ifndef LAYERVM_TREE_FORWARD_H
#define LAYERVM_TREE_FORWARD_H

#include "tree/feed.h"
#include "tree/tree.h"

/* The source takes the feed over and frees it. name: for messages; copied. */
struct source *source_forward(struct feed *feed, const char *name) __attribute__((returns_nonnull));

/*
 * The files of the tree's current state are to be read now, each from its first byte to its last.
 * Feeds begin anew. Other sources are not concerned.
 */
void forward_expect(struct tree *tree);

/*
 * All has been read: takes what is left of the feeds that were begun, so that they can tell whether
 * their bytes were the right ones.
 */
int forward_finish(struct tree *tree, struct error *err);

/* How many bytes went to temporary files since forward_expect. */
uint64_t forward_kept(const struct tree *tree);

#endif
