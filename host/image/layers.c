#include "image/layers.h"

#include <errno.h>
#include <string.h>

#include "image/blobs.h"
#include "image/diff_ids.h"
#include "image/streamed.h"
#include "support/identity.h"
#include "support/memory.h"

/* What the source and the config say of a layer. */
struct expected {
	struct extent extent;
	bool has_digest;
	struct digest digest;
	bool has_diff_id;
	struct digest diff_id;
};

struct layers {
	struct blobs *now;   /* what is loaded before the image is given */
	struct blobs *later; /* what image_verify loads */
	struct expected *expected;
	size_t count;
	bool is_started;     /* the work on the later ones */
	bool lacks_diff_ids; /* the image config gets its rootfs in the end */
};

static void layers_free(struct layers *layers)
{
	if (layers == NULL)
		return;
	blobs_free(layers->now);
	blobs_free(layers->later);
	free(layers->expected);
	free(layers);
}

static void layers_cleanup(struct layers **layers)
{
	layers_free(*layers);
}

void image_files_free(struct image_files *files)
{
	if (files == NULL)
		return;
	layers_free(files->layers);
	for (size_t i = 0; i < files->spool_count; i++)
		close(files->spools[i]);
	free(files->spools);
	for (size_t i = 0; i < files->name_count; i++) {
		free(files->names[i]);
		json_object_put(files->annotations[i].texts);
	}
	free(files->names);
	free(files->annotations);
	inflate_budget_unref(files->budget);
	store_unref(files->store);
	free(files);
}

static struct blob *find_blob(struct layers *layers, const struct extent *extent)
{
	struct blob *blob = blobs_find(layers->now, extent);
	return blob != NULL ? blob : blobs_find(layers->later, extent);
}

/* Makes the blobs of the layers that are not streamed. */
static int add_blobs(struct layers *layers, const struct plan *plan, const struct image *image,
	bool later, struct error *err)
{
	for (size_t i = 0; i < plan->layer_count; i++) {
		const struct extent *extent = &plan->layers[i].extent;
		const char *name = image->files->names[i];
		const struct decode_format *format;
		if (image->layers[i].is_streamed || find_blob(layers, extent) != NULL)
			continue;
		int r = inflate_detect(
			extent->fd, extent->offset, extent->size, name, &format, err);
		if (r < 0)
			return r;
		blobs_add(later && !blobs_becomes_tar(format) ? layers->later : layers->now, extent,
			format, xstrdup(name));
	}
	return 0;
}

static void add_size(uint64_t *sum, uint64_t size)
{
	if (__builtin_add_overflow(*sum, size, sum))
		*sum = UINT64_MAX;
}

static void add_compressed(const struct blobs *blobs, uint64_t *sum)
{
	for (size_t i = 0; i < blobs->count; i++) {
		if (blobs->items[i].format != NULL)
			add_size(sum, blobs->items[i].extent.size);
	}
}

/*
 * The budget for all compressed layers, those that are streamed among them, each for itself. What
 * a compressed archive holds goes on with what the archive itself has left.
 */
static struct inflate_budget make_budget(
	const struct layers *layers, const struct image *image, const struct store *store)
{
	uint64_t compressed = 0;
	if (store->budget.limit != 0)
		return store->budget;
	add_compressed(layers->now, &compressed);
	add_compressed(layers->later, &compressed);
	for (size_t i = 0; i < image->layer_count; i++) {
		if (image->layers[i].is_streamed)
			add_size(&compressed, image->layers[i].blob_size);
	}
	return inflate_budget(store->path, compressed);
}

static void name_layers(
	const struct store *store, const struct plan *plan, struct image_files *files)
{
	files->names = xcalloc(plan->layer_count, sizeof(*files->names));
	files->annotations = xcalloc(plan->layer_count, sizeof(*files->annotations));
	files->name_count = plan->layer_count;
	for (size_t i = 0; i < plan->layer_count; i++) {
		files->annotations[i] = (struct layer_annotations){
			.texts = json_object_get(plan->layers[i].annotations),
			.blob = plan->layers[i].digest,
		};
		files->names[i] = xasprintf("%s: layer %zu of %zu (%s)", store->path, i + 1,
			plan->layer_count, plan->layers[i].label);
	}
}

/* Compares a layer with what is said of it. */
static int check_layer(const struct expected *expected, const struct blob *blob, struct error *err)
{
	int r = blob->result;
	if (r < 0) {
		*err = blob->err;
		return r;
	}
	if (expected->has_digest)
		r = digest_expect(&expected->digest, &blob->digest, blob->name, "digest", err);
	if (r == 0 && expected->has_diff_id)
		r = digest_expect(
			&expected->diff_id, &blob->layer.diff_id, blob->name, "diff ID", err);
	return r;
}

/* Checks the layers whose blobs are among these, and fills them in. */
static int take_layers(const struct layers *layers, struct blobs *blobs, struct image_layer *out,
	struct error *err)
{
	for (size_t i = 0; i < layers->count; i++) {
		const struct expected *expected = &layers->expected[i];
		const struct blob *blob = blobs_find(blobs, &expected->extent);
		if (blob == NULL)
			continue;
		int r = check_layer(expected, blob, err);
		if (r < 0)
			return r;
		out[i] = blob->layer;
	}
	return 0;
}

/*
 * Fills in the layers that are loaded later, with their digests as they are said to be. Of a
 * compressed one docker's manifest.json says none.
 */
static void promise_layers(const struct layers *layers, struct image_layer *out)
{
	for (size_t i = 0; i < layers->count; i++) {
		const struct expected *expected = &layers->expected[i];
		const struct blob *blob = blobs_find(layers->later, &expected->extent);
		if (blob == NULL)
			continue;
		out[i] = blob->layer;
		out[i].diff_id = expected->diff_id;
		out[i].digest = blob->format == NULL ? expected->diff_id : expected->digest;
	}
}

static void add_rootfs(struct image *image)
{
	json_object_object_add(
		image->config, "rootfs", diff_ids_rootfs(image->layers, image->layer_count, NULL));
}

static struct expected *expectations(const struct plan *plan, const struct digest *diff_ids)
{
	struct expected *expected = xcalloc(plan->layer_count, sizeof(*expected));
	for (size_t i = 0; i < plan->layer_count; i++) {
		const struct plan_layer *layer = &plan->layers[i];
		expected[i] = (struct expected){
			.extent = layer->extent,
			.has_digest = layer->has_digest,
			.digest = layer->digest,
			.has_diff_id = !plan->lacks_diff_ids,
		};
		if (!plan->lacks_diff_ids)
			expected[i].diff_id = diff_ids[i];
	}
	return expected;
}

static void hash_number(struct hasher *hasher, uint64_t number)
{
	hasher_add(hasher, &number, sizeof(number));
}

/*
 * Which file it is and when it was changed last; where in it the chosen image's layers are, and
 * what is said of them.
 */
static struct digest fingerprint(const struct store *store, const struct plan *plan)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	struct file_identity file = file_identity(&store->origin);
	hasher_add(hasher, &file, sizeof(file));
	hasher_add(hasher, plan->digest.bytes, sizeof(plan->digest.bytes));
	hash_number(hasher, plan->layer_count);
	for (size_t i = 0; i < plan->layer_count; i++) {
		const struct plan_layer *layer = &plan->layers[i];
		hash_number(hasher, layer->extent.offset);
		hash_number(hasher, layer->extent.size);
		hash_number(hasher, layer->has_digest);
		hasher_add(hasher, layer->digest.bytes, sizeof(layer->digest.bytes));
	}
	return hasher_finish(hasher);
}

int layers_load(const struct store *store, const struct plan *plan,
	const struct image_options *options, struct image *image, struct error *err)
{
	__attribute__((cleanup(layers_cleanup))) struct layers *layers =
		xcalloc(1, sizeof(*layers));
	struct image_files *files = image->files;
	size_t diff_count;
	cleanup_free struct digest *diff_ids = diff_ids_read(plan->config, &diff_count);
	if (diff_count != plan->layer_count && !plan->lacks_diff_ids)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: the manifest lists %zu layers, but the image config has %zu diff IDs",
			store->path, plan->layer_count, diff_count);
	name_layers(store, plan, files);
	layers->now = blobs_new(plan->layer_count, options->tars);
	layers->later = blobs_new(plan->layer_count, options->tars);
	layers->expected = expectations(plan, diff_ids);
	layers->count = plan->layer_count;
	layers->lacks_diff_ids = plan->lacks_diff_ids;
	image->layers = xcalloc(plan->layer_count, sizeof(*image->layers));
	image->layer_count = plan->layer_count;
	bool may_stream = options->tars == IMAGE_TARS_STREAMED && !plan->lacks_diff_ids;
	int r = may_stream ? streamed_choose(
				     store, plan, diff_ids, options->spool_max, image->layers, err)
			   : 0;
	if (r == 0)
		r = add_blobs(layers, plan, image, options->later, err);
	if (r < 0)
		return r;
	files->budget = inflate_budget_share(make_budget(layers, image, store));
	layers->now->budget = layers->later->budget = files->budget;
	if (options->later && store->origin_fd >= 0 && plan->layer_count != 0)
		files->fingerprint = fingerprint(store, plan);
	files->spools = xcalloc(2 * (size_t)BLOBS_THREADS_MAX, sizeof(*files->spools));
	blobs_start(layers->now, BLOBS_AT_ONCE);
	blobs_finish(layers->now, files->spools, &files->spool_count);
	r = take_layers(layers, layers->now, image->layers, err);
	if (r < 0)
		return r;
	if (layers->later->count != 0) {
		promise_layers(layers, image->layers);
		files->layers = steal_ptr(&layers);
	} else if (plan->lacks_diff_ids) {
		add_rootfs(image);
	}
	return 0;
}

void image_verify_start(struct image *image)
{
	struct layers *layers = image->files->layers;
	if (layers == NULL || layers->is_started)
		return;
	layers->is_started = true;
	blobs_start(layers->later, BLOBS_BESIDE);
}

int image_verify(struct image *image, struct error *err)
{
	struct image_files *files = image->files;
	struct layers *layers = files->layers;
	size_t spool_count;
	if (layers == NULL)
		return 0;
	image_verify_start(image);
	blobs_finish(layers->later, files->spools + files->spool_count, &spool_count);
	files->spool_count += spool_count;
	int r = take_layers(layers, layers->later, image->layers, err);
	if (r < 0)
		return r;
	if (layers->lacks_diff_ids)
		add_rootfs(image);
	layers_free(layers);
	files->layers = NULL;
	return 0;
}

json_object *image_annotations(const struct image *image, size_t layer)
{
	const struct image_files *files = image->files;
	if (layer >= files->name_count ||
		!digest_equal(&files->annotations[layer].blob, &image->layers[layer].digest))
		return NULL;
	return files->annotations[layer].texts;
}

bool image_has_tars(const struct image *image)
{
	for (size_t i = 0; i < image->layer_count; i++) {
		if (image->layers[i].tar_fd < 0 && !image->layers[i].is_streamed)
			return false;
	}
	return true;
}

void image_trust(struct image *image, const struct image_digests *digests)
{
	struct layers *layers = image->files->layers;
	for (size_t i = 0; i < image->layer_count; i++) {
		struct image_layer *layer = &image->layers[i];
		if (!layer->is_streamed)
			continue;
		layer->digest = digests[i].digest;
		layer->diff_id = digests[i].diff_id;
		layer->is_trusted = true;
	}
	if (layers == NULL)
		return;
	for (size_t i = 0; i < layers->count; i++) {
		struct expected *expected = &layers->expected[i];
		if (blobs_find(layers->later, &expected->extent) == NULL)
			continue;
		expected->has_digest = expected->has_diff_id = true;
		expected->digest = image->layers[i].digest = digests[i].digest;
		expected->diff_id = image->layers[i].diff_id = digests[i].diff_id;
	}
	if (layers->lacks_diff_ids)
		add_rootfs(image);
	layers->lacks_diff_ids = false;
}

bool image_fingerprint(const struct image *image, struct digest *out)
{
	static const struct digest none;
	*out = image->files->fingerprint;
	return !digest_equal(out, &none);
}

bool image_is_settled(const struct image *image)
{
	return image->files->store != NULL && store_is_settled(image->files->store);
}
