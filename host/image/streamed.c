#include "image/streamed.h"

#include "image/blobs.h"
#include "support/memory.h"

/* Windows of zstd are 8 MiB at its highest ordinary level: this keeps all of them within 32 MiB. */
#define STREAMS_MAX 4u

/* Fills in a layer whose tar is not looked at now. */
static void promise(const struct plan_layer *from, const struct decode_format *format,
	const struct digest *diff_id, struct image_layer *layer)
{
	*layer = (struct image_layer){
		.diff_id = *diff_id,
		.media_type = blobs_media_type(format),
		.blob_fd = from->extent.fd,
		.blob_offset = from->extent.offset,
		.blob_size = from->extent.size,
		.tar_fd = -1,
		.is_streamed = true,
	};
	if (from->has_digest)
		layer->digest = from->digest;
}

int streamed_choose(const struct store *store, const struct plan *plan,
	const struct digest *diff_ids, uint64_t spool_max, struct image_layer *layers,
	struct error *err)
{
	cleanup_free const struct decode_format **formats =
		xcalloc(plan->layer_count, sizeof(struct decode_format *));
	uint64_t left = 0;
	for (size_t i = 0; i < plan->layer_count; i++) {
		const struct extent *extent = &plan->layers[i].extent;
		int r = inflate_detect(
			extent->fd, extent->offset, extent->size, store->path, &formats[i], err);
		if (r < 0)
			return r;
		if (blobs_becomes_tar(formats[i]))
			formats[i] = NULL;
		if (formats[i] != NULL && __builtin_add_overflow(left, extent->size, &left))
			left = UINT64_MAX;
	}
	for (size_t streams = 0; streams < STREAMS_MAX && left > spool_max; streams++) {
		size_t largest = plan->layer_count;
		for (size_t i = 0; i < plan->layer_count; i++) {
			if (formats[i] != NULL && !layers[i].is_streamed &&
				(largest == plan->layer_count ||
					plan->layers[i].extent.size >
						plan->layers[largest].extent.size))
				largest = i;
		}
		if (largest == plan->layer_count)
			break;
		promise(&plan->layers[largest], formats[largest], &diff_ids[largest],
			&layers[largest]);
		left -= plan->layers[largest].extent.size;
	}
	return 0;
}
