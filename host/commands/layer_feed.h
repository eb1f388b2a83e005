/* A layer that is streamed, as what trees are fed with. */
#ifndef LAYERVM_COMMANDS_LAYER_FEED_H
#define LAYERVM_COMMANDS_LAYER_FEED_H

#include "image/image.h"
#include "tree/feed.h"

/* Outlives the image. Its end comes after the layer was verified. */
struct feed *layer_feed_new(const struct image *image, size_t layer)
	__attribute__((returns_nonnull));

/*
 * Whether reading it has failed, rather than what its bytes were taken for: the negative errno
 * value, with the words, which name the archive and the layer; or 0.
 */
int layer_feed_failure(const struct feed *feed, struct error *err);

/* After the first reading: gives the image's layer what was found out by it. */
void layer_feed_settle(const struct feed *feed, struct image_layer *layer);

#endif
