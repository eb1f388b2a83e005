/* A root file system tar, as docker import takes it: the one layer of an image without a config. */
#ifndef LAYERVM_IMAGE_ROOTFS_H
#define LAYERVM_IMAGE_ROOTFS_H

#include "image/plan.h"

/* Plans an image with the whole archive as its layer, and makes a config up. */
int rootfs_plan(struct store *store, const struct image_options *options, struct plan *plan,
	struct error *err);

#endif
