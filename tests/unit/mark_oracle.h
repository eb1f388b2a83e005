/* What changes_mark must have marked, found by looking at every name of the tree. */
#ifndef LAYERVM_TESTS_MARK_ORACLE_H
#define LAYERVM_TESTS_MARK_ORACLE_H

#include "tree/changes.h"
#include "tree/tree.h"

/*
 * Marks the changes and fails the test where marks, counts, the order of names in a directory
 * above marks or the first name of a written inode are others than a walk over the whole tree
 * gives.
 */
void check_mark(struct tree *tree, struct changes *changes);

#endif
