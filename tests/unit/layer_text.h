/*
 * Layers in a word or two: "d a" directory, "D a" directory of mode 0700 and uid 5, "f a/x=text"
 * file, "l a>b" symlink to b, "h a>b" hard link to b, "p a" fifo, "c a" character device 0:0,
 * separated by ';'. Whiteouts are files.
 */
#ifndef LAYERVM_TESTS_LAYER_TEXT_H
#define LAYERVM_TESTS_LAYER_TEXT_H

#include "support/buffer.h"
#include "support/error.h"
#include "tree/tree.h"

/* Adds a layer's entries and its end to a tar. */
void layer_text_add(struct buffer *tar, const char *text);

/* Applies a layer by layer_apply. */
int layer_text_apply(struct tree *tree, const char *text, struct error *err);

/*
 * The tree in the same language, sorted by path; "h a=b" is a hard link whose first name is b. The
 * caller frees it.
 */
char *layer_text_of(struct tree *tree);

#endif
