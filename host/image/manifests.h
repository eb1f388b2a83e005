/*
 * The documents that say which images a source has, a layout each: manifest.json of docker save,
 * index.json of OCI image layouts, repositories of docker save before Docker 1.10.
 */
#ifndef LAYERVM_IMAGE_MANIFESTS_H
#define LAYERVM_IMAGE_MANIFESTS_H

#include "image/plan.h"
#include "image/summary.h"

/* The image that the options choose. */
int docker_plan(struct store *store, const struct image_options *options, struct plan *plan,
	struct error *err);
int oci_plan(struct store *store, const struct image_options *options, struct plan *plan,
	struct error *err);
int legacy_plan(struct store *store, const struct image_options *options, struct plan *plan,
	struct error *err);

/* All of the images. */
int docker_list(struct store *store, struct image_list *list, struct error *err);
int oci_list(struct store *store, struct image_list *list, struct error *err);
int legacy_list(struct store *store, struct image_list *list, struct error *err);

#endif
