/* A root file system tar, as docker import takes it: the one layer of an image without a config. */
#ifndef LAYERVM_IMAGE_ROOTFS_H
#define LAYERVM_IMAGE_ROOTFS_H

#include "image/image.h"
#include "image/store.h"

/* Makes the whole archive the image's layer, and a config up. */
int rootfs_load(const struct store *store, struct image *image, struct error *err);

#endif
