/* A layer that is streamed, as what trees are fed with. */
#ifndef LAYERVM_COMMANDS_LAYER_FEED_H
#define LAYERVM_COMMANDS_LAYER_FEED_H

#include "image/image.h"
#include "tree/feed.h"

/* Outlives the image. Its end comes after the layer was verified. */
struct feed *layer_feed_new(const struct image *image, size_t layer)
	__attribute__((returns_nonnull));

/* After the first reading: gives the image's layer what was found out by it. */
void layer_feed_settle(const struct feed *feed, struct image_layer *layer);

#endif
