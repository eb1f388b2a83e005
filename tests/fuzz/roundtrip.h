/* What must hold of every tree that a layer or a disk made, however hostile. */
#ifndef LAYERVM_TESTS_FUZZ_ROUNDTRIP_H
#define LAYERVM_TESTS_FUZZ_ROUNDTRIP_H

#include <stdbool.h>

#include "tree/tree.h"

/* Whether the files hold so little that they can be read again and again. */
bool roundtrip_is_small(struct tree *tree);

/* The whole tree, written as one layer and applied to an empty tree, is the same tree; or it is
 * refused because a layer cannot represent it. */
void roundtrip_whole(struct tree *tree);

/* Both trees, written as layers, are the same bytes. Each file is read once, in order. */
void roundtrip_same(struct tree *found, struct tree *expected);

/*
 * What differs from the base state, written as a layer and applied to another tree that is in
 * that base state, gives the current state; of which nothing differs from itself. Makes the
 * current state the base state.
 */
void roundtrip_changes(struct tree *tree, struct tree *base);

#endif
