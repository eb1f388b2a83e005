/* A tree as one text, which two trees are compared by. */
#ifndef LAYERVM_TESTS_TREE_TEXT_H
#define LAYERVM_TESTS_TREE_TEXT_H

#include "tree/tree.h"

/* What tree_dump gives, or the running test fails. The caller frees it. */
char *tree_text(struct tree *tree);

#endif
