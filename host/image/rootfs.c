#include "image/rootfs.h"

#include <errno.h>

#include "image/diff_ids.h"
#include "image/range.h"
#include "support/memory.h"

int rootfs_load(const struct store *store, struct image *image, struct error *err)
{
	if (!store->index.has_end)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: the tar has no end marker: it was cut short", store->path);
	cleanup_free uint8_t *buffer = xmalloc(RANGE_CHUNK);
	cleanup_hasher struct hasher *hasher = hasher_new();
	struct range range = {
		.fd = store->fd,
		.end = store->size,
		.name = store->path,
		.hasher = hasher,
		.err = err,
		.buffer = buffer,
	};
	int r = range_drain(&range);
	if (r < 0)
		return r;
	struct digest digest = hasher_finish(hasher);
	image->from_rootfs = true;
	image->layers = xmalloc(sizeof(*image->layers));
	image->layer_count = 1;
	image->layers[0] = (struct image_layer){
		.digest = digest,
		.diff_id = digest,
		.media_type = "application/vnd.oci.image.layer.v1.tar",
		.blob_size = store->size,
		.blob_fd = store->fd,
		.tar_size = store->size,
		.tar_fd = store->fd,
	};
	image->config = json_object_new_object();
	json_object_object_add(image->config, "config", json_object_new_object());
	json_object_object_add(image->config, "os", json_object_new_string("linux"));
	json_object_object_add(image->config, "rootfs", diff_ids_rootfs(image->layers, 1, NULL));
	return 0;
}
