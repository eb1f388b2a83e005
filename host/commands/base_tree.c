#include "commands/base_tree.h"

#include <fcntl.h>

#include "commands/layer_feed.h"
#include "layer/layer.h"
#include "support/memory.h"
#include "tree/forward.h"

struct base_layer {
	struct digest diff_id;
	struct source *source; /* belongs to the tree */
};

void base_layers_free(struct base_layers *layers)
{
	free(layers->layers);
	*layers = (struct base_layers){0};
}

static struct source *known_source(const struct base_layers *known, const struct digest *diff_id)
{
	for (size_t i = 0; known != NULL && i < known->count; i++) {
		if (digest_equal(&known->layers[i].diff_id, diff_id))
			return known->layers[i].source;
	}
	return NULL;
}

/* What a layer is read from: its own copy of the image's descriptor, or a known source. */
static int layer_source(const struct image_layer *layer, const char *name,
	struct base_layers *known, struct source **out, struct error *err)
{
	*out = known_source(known, &layer->diff_id);
	if (*out != NULL)
		return 0;
	int fd = fcntl(layer->tar_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot copy a descriptor");
	*out = source_from_fd(fd, layer->tar_offset, name);
	if (known == NULL)
		return 0;
	known->layers =
		array_grow(known->layers, known->count, &known->capacity, sizeof(*known->layers));
	known->layers[known->count++] =
		(struct base_layer){.diff_id = layer->diff_id, .source = *out};
	return 0;
}

/* Says which layer an error is about: the lowest is 1. A root file system has one only. */
static int name_layer(const struct image *image, size_t index, int r, struct error *err)
{
	return r == 0 || image->from_rootfs ? r : error_wrap(err, r, "layer %zu", index + 1);
}

static int apply_streamed(
	struct image *image, size_t index, const char *name, struct tree *tree, struct error *err)
{
	/* The tree owns it, whether or not it can be applied. */
	struct feed *feed = layer_feed_new(image, index);
	int r = layer_apply_feed(tree, feed, source_forward(feed, name), name, err);
	if (r == 0) {
		layer_feed_settle(feed, &image->layers[index]);
		return 0;
	}
	int failure = layer_feed_failure(feed, err);
	return failure < 0 ? failure : name_layer(image, index, r, err);
}

static int apply(const struct image *image, size_t index, const char *name,
	struct base_layers *known, struct tree *tree, struct error *err)
{
	const struct image_layer *layer = &image->layers[index];
	struct source *tar;
	int r = layer_source(layer, name, known, &tar, err);
	if (r == 0)
		r = layer_apply(tree, tar, layer->tar_size, name, err);
	return name_layer(image, index, r, err);
}

int base_tree_merge(
	struct image *image, struct tree *tree, struct base_layers *known, struct error *err)
{
	for (size_t i = 0; i < image->layer_count; i++) {
		const struct image_layer *layer = &image->layers[i];
		char text[DIGEST_TEXT_SIZE];
		digest_text(&layer->diff_id, text);
		const char *name = image->from_rootfs ? "the root file system" : text;
		int r = layer->is_streamed ? apply_streamed(image, i, name, tree, err)
					   : apply(image, i, name, known, tree, err);
		if (r < 0)
			return r;
	}
	return 0;
}
