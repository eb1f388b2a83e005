/* The bytes of the layers: hashed, inflated where they are compressed, compared with the config. */
#ifndef LAYERVM_IMAGE_LAYERS_H
#define LAYERVM_IMAGE_LAYERS_H

#include "image/plan.h"

/* The annotations of a layer's descriptor. */
struct layer_annotations {
	json_object *texts; /* NULL: none */
	struct digest blob; /* of the blob that they tell of */
};

/* What an image's layers live in, and what is still to be done for them. */
struct image_files {
	struct store *store; /* a reference; NULL: none */
	int *spools;         /* what was inflated: one file a thread */
	size_t spool_count;
	char **names; /* of the layers, for messages: "x.tar: layer 1 of 3 (a/layer.tar)" */
	struct layer_annotations *annotations; /* of the layers */
	size_t name_count;
	struct inflate_budget *budget; /* of all that is inflated of it; a reference */
	struct layers *layers;         /* with some that are not verified yet; NULL: none */
	/* What the bytes are known by without reading them; zeros: they are not. */
	struct digest fingerprint;
};

/*
 * The annotations that a layer's descriptor had, borrowed; NULL where there are none, or where the
 * layer goes on as other bytes than those that they tell of.
 */
json_object *image_annotations(const struct image *image, size_t layer);

void image_files_free(struct image_files *files);

/*
 * Fills in image->layers from the plan, whose config holds as many diff IDs, or none where the
 * plan says so: then image->config, which is there, gets them. Each distinct blob
 * is read once, several at a time by threads. The first layer that is wrong gives the error, of
 * those that are read here: one that is streamed, or left for later, gives its own in its turn.
 * Of the options it takes `later` and what is to become of the tars.
 */
int layers_load(const struct store *store, const struct plan *plan,
	const struct image_options *options, struct image *image, struct error *err);

#endif
