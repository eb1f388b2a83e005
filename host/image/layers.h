/* The bytes of the layers: hashed, inflated where they are compressed, compared with the config. */
#ifndef LAYERVM_IMAGE_LAYERS_H
#define LAYERVM_IMAGE_LAYERS_H

#include "image/plan.h"

/* The descriptors that an image's layers live in. */
struct image_files {
	struct store *store; /* a reference; NULL: none */
	int *spools;         /* what was inflated: one file a thread */
	size_t spool_count;
};

void image_files_free(struct image_files *files);

/*
 * Fills in image->layers from the plan, whose config holds as many diff IDs. Each distinct blob
 * is read once, several at a time by threads. The first layer that is wrong gives the error.
 */
int layers_load(
	const struct store *store, const struct plan *plan, struct image *image, struct error *err);

#endif
