/* The layers of an image as a tree, for all commands that read images. */
#ifndef LAYERVM_COMMANDS_BASE_TREE_H
#define LAYERVM_COMMANDS_BASE_TREE_H

#include <stddef.h>

#include "image/image.h"
#include "support/error.h"
#include "tree/tree.h"

/*
 * Layers that were applied to a tree, with what they are read from: an image that has one of them
 * too is given the same source, so that equal files are known to be equal without reading them.
 * All zero is none.
 */
struct base_layers {
	struct base_layer *layers;
	size_t count;
	size_t capacity;
};
void base_layers_free(struct base_layers *layers);
#define cleanup_base_layers __attribute__((cleanup(base_layers_free)))

/*
 * Applies the image's layers to the tree's current state, lowest first. The image may be freed
 * afterwards: the tree has descriptors of its own. Layers that are streamed are verified by it, and
 * what it finds out is put into the image; their files are read as tree/forward.h has it. known: of
 * this tree, extended; or NULL. A source is given by the diff ID that a layer is said to have: what
 * comes of it is right once image_verify returned 0 for each of the images, and not shown before.
 */
int base_tree_merge(
	struct image *image, struct tree *tree, struct base_layers *known, struct error *err);

#endif
