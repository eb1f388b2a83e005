/* rootfs.diff_ids of image configs (image-spec config.md): digests of the layers' plain tars. */
#ifndef LAYERVM_IMAGE_DIFF_IDS_H
#define LAYERVM_IMAGE_DIFF_IDS_H

#include <json-c/json.h>
#include <stddef.h>

#include "image/image.h"

/* The diff IDs of a checked config document. Returns their array, which the caller frees. */
struct digest *diff_ids_read(json_object *config, size_t *count);

/* A new `rootfs` with the layers' diff IDs. last: that of one more layer on top, or NULL. */
json_object *diff_ids_rootfs(
	const struct image_layer *layers, size_t count, const struct digest *last);

#endif
