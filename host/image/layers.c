#include "image/layers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "image/diff_ids.h"
#include "image/inflate.h"
#include "image/range.h"
#include "support/fileio.h"
#include "support/memory.h"

/* More threads than this are not faster: the disk is busy. */
#define THREADS_MAX 8u

/* Layers begin at such a boundary of a spool, so that file systems can share their blocks. */
#define SPOOL_ALIGN 4096u

#define TYPE_TAR "application/vnd.oci.image.layer.v1.tar"

/* One distinct blob. */
struct blob {
	struct extent extent;
	const struct decode_format *format; /* NULL: a plain tar */
	char *name;                         /* for messages */
	struct digest digest;               /* of its bytes */
	struct image_layer layer;
	struct error err;
	int result;
};

struct loader {
	struct blob *blobs;
	size_t count;
	struct inflate_budget budget;
	pthread_mutex_t lock; /* protects the two below */
	size_t next;          /* the first blob that nobody has taken */
	bool failed;          /* no further blob is taken */
};

struct worker {
	struct loader *loader;
	uint64_t spool_end; /* where the next inflated layer goes */
	int spool;          /* -1: none yet */
	bool started;
	pthread_t thread;
};

void image_files_free(struct image_files *files)
{
	if (files == NULL)
		return;
	for (size_t i = 0; i < files->spool_count; i++)
		close(files->spools[i]);
	free(files->spools);
	store_unref(files->store);
	free(files);
}

static int hash_plain(struct blob *blob)
{
	cleanup_free uint8_t *buffer = xmalloc(RANGE_CHUNK);
	cleanup_hasher struct hasher *hasher = hasher_new();
	struct image_layer *layer = &blob->layer;
	struct range range = {
		.fd = layer->blob_fd,
		.offset = layer->blob_offset,
		.end = layer->blob_offset + layer->blob_size,
		.name = blob->name,
		.hasher = hasher,
		.err = &blob->err,
		.buffer = buffer,
	};
	int r = range_drain(&range);
	if (r < 0)
		return r;
	blob->digest = hasher_finish(hasher);
	layer->digest = blob->digest;
	layer->diff_id = blob->digest;
	layer->media_type = TYPE_TAR;
	layer->tar_size = layer->blob_size;
	layer->tar_offset = layer->blob_offset;
	layer->tar_fd = layer->blob_fd;
	return 0;
}

/*
 * The OCI image-spec has no media type for xz and bzip2: such a layer goes on as its tar, which
 * leaves the diff ID as it is.
 */
static void take_inflated(struct image_layer *layer)
{
	layer->digest = layer->diff_id;
	layer->media_type = TYPE_TAR;
	layer->blob_fd = layer->tar_fd;
	layer->blob_offset = layer->tar_offset;
	layer->blob_size = layer->tar_size;
}

static int inflate_blob(struct worker *worker, struct blob *blob)
{
	struct image_layer *layer = &blob->layer;
	if (worker->spool < 0) {
		worker->spool = file_temporary(&blob->err);
		if (worker->spool < 0)
			return worker->spool;
	}
	struct inflate_job job = {
		.from = layer->blob_fd,
		.offset = layer->blob_offset,
		.size = layer->blob_size,
		.format = blob->format,
		.name = blob->name,
		.to = worker->spool,
		.to_offset = worker->spool_end,
		.budget = &worker->loader->budget,
	};
	int r = inflate_run(&job, &blob->err);
	if (r < 0)
		return r;
	blob->digest = job.digest;
	layer->digest = job.digest;
	layer->diff_id = job.inflated;
	layer->tar_fd = worker->spool;
	layer->tar_offset = job.to_offset;
	layer->tar_size = job.inflated_size;
	uint64_t end = job.to_offset + job.inflated_size;
	worker->spool_end = (end + SPOOL_ALIGN - 1) / SPOOL_ALIGN * SPOOL_ALIGN;
	if (blob->format == &decode_gzip)
		layer->media_type = TYPE_TAR "+gzip";
	else if (blob->format == &decode_zstd)
		layer->media_type = TYPE_TAR "+zstd";
	else
		take_inflated(layer);
	return 0;
}

static int load_blob(struct worker *worker, struct blob *blob)
{
	struct image_layer *layer = &blob->layer;
	layer->blob_fd = blob->extent.fd;
	layer->blob_offset = blob->extent.offset;
	layer->blob_size = blob->extent.size;
	return blob->format == NULL ? hash_plain(blob) : inflate_blob(worker, blob);
}

static struct blob *take(struct loader *loader)
{
	struct blob *blob = NULL;
	pthread_mutex_lock(&loader->lock);
	if (!loader->failed && loader->next < loader->count)
		blob = &loader->blobs[loader->next++];
	pthread_mutex_unlock(&loader->lock);
	return blob;
}

/*
 * Blobs are taken in order and each that was taken is finished, so the first failure in the order
 * of the layers is the same in every run.
 */
static void *work(void *data)
{
	struct worker *worker = data;
	struct blob *blob;
	while ((blob = take(worker->loader)) != NULL) {
		blob->result = load_blob(worker, blob);
		if (blob->result < 0) {
			pthread_mutex_lock(&worker->loader->lock);
			worker->loader->failed = true;
			pthread_mutex_unlock(&worker->loader->lock);
		}
	}
	return NULL;
}

static size_t thread_count(size_t blobs)
{
	cpu_set_t cpus;
	size_t count = 1;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		count = (size_t)CPU_COUNT(&cpus);
	if (count > THREADS_MAX)
		count = THREADS_MAX;
	return count < blobs ? count : blobs;
}

/* Loads all blobs; the caller's thread is one of the workers. Spools go to files. */
static void run_workers(struct loader *loader, struct image_files *files)
{
	struct worker workers[THREADS_MAX];
	size_t count = thread_count(loader->count);
	for (size_t i = 0; i < THREADS_MAX; i++)
		workers[i] = (struct worker){.loader = loader, .spool = -1};
	for (size_t i = 1; i < count; i++)
		workers[i].started =
			pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
	work(&workers[0]);
	files->spools = xcalloc(count, sizeof(*files->spools));
	for (size_t i = 0; i < count; i++) {
		if (workers[i].started)
			pthread_join(workers[i].thread, NULL);
		if (workers[i].spool >= 0)
			files->spools[files->spool_count++] = workers[i].spool;
	}
}

/* The blob with those bytes among the first count ones, or NULL. */
static struct blob *find_blob(struct blob *blobs, size_t count, const struct extent *extent)
{
	for (size_t i = 0; i < count; i++) {
		if (blobs[i].extent.fd == extent->fd && blobs[i].extent.offset == extent->offset)
			return &blobs[i];
	}
	return NULL;
}

static int add_blob(struct loader *loader, const struct plan_layer *layer, char *name,
	uint64_t *compressed, struct error *err)
{
	struct blob *blob = &loader->blobs[loader->count++];
	blob->extent = layer->extent;
	blob->name = name;
	int r = inflate_detect(layer->extent.fd, layer->extent.offset, layer->extent.size, name,
		&blob->format, err);
	if (r == 0 && blob->format != NULL &&
		__builtin_add_overflow(*compressed, layer->extent.size, compressed))
		*compressed = UINT64_MAX;
	return r;
}

/* Makes the blobs, and the budget for all of them. */
static int add_blobs(struct loader *loader, const struct plan *plan, const struct store *store,
	struct error *err)
{
	uint64_t compressed = 0;
	loader->blobs = xcalloc(plan->layer_count, sizeof(*loader->blobs));
	for (size_t i = 0; i < plan->layer_count; i++) {
		const struct plan_layer *layer = &plan->layers[i];
		if (find_blob(loader->blobs, loader->count, &layer->extent) != NULL)
			continue;
		char *name = xasprintf("%s: layer %zu of %zu (%s)", store->path, i + 1,
			plan->layer_count, layer->label);
		int r = add_blob(loader, layer, name, &compressed, err);
		if (r < 0)
			return r;
	}
	/* What a compressed archive holds goes on with what the archive itself has left. */
	bool is_inner = store->budget.limit != 0;
	loader->budget = is_inner ? store->budget : inflate_budget(store->path, compressed);
	return 0;
}

static void free_blobs(struct loader *loader)
{
	for (size_t i = 0; i < loader->count; i++)
		free(loader->blobs[i].name);
	free(loader->blobs);
}

/* Compares each layer with what the source and the config say of it. */
static int check_layers(struct loader *loader, const struct plan *plan,
	const struct digest *diff_ids, struct image_layer *layers, struct error *err)
{
	for (size_t i = 0; i < plan->layer_count; i++) {
		const struct plan_layer *layer = &plan->layers[i];
		const struct blob *blob = find_blob(loader->blobs, loader->count, &layer->extent);
		int r = blob->result;
		if (r < 0) {
			*err = blob->err;
			return r;
		}
		if (layer->has_digest)
			r = digest_expect(&layer->digest, &blob->digest, blob->name, "digest", err);
		if (r == 0 && !plan->lacks_diff_ids)
			r = digest_expect(
				&diff_ids[i], &blob->layer.diff_id, blob->name, "diff ID", err);
		if (r < 0)
			return r;
		layers[i] = blob->layer;
	}
	return 0;
}

static int load(const struct store *store, const struct plan *plan, const struct digest *diff_ids,
	struct image *image, struct error *err)
{
	struct loader loader = {.lock = PTHREAD_MUTEX_INITIALIZER};
	int r = add_blobs(&loader, plan, store, err);
	if (r == 0) {
		run_workers(&loader, image->files);
		r = check_layers(&loader, plan, diff_ids, image->layers, err);
	}
	free_blobs(&loader);
	return r;
}

int layers_load(
	const struct store *store, const struct plan *plan, struct image *image, struct error *err)
{
	size_t diff_count;
	cleanup_free struct digest *diff_ids = diff_ids_read(plan->config, &diff_count);
	if (diff_count != plan->layer_count && !plan->lacks_diff_ids)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: the manifest lists %zu layers, but the image config has %zu diff IDs",
			store->path, plan->layer_count, diff_count);
	image->layers = xcalloc(plan->layer_count, sizeof(*image->layers));
	image->layer_count = plan->layer_count;
	return plan->layer_count == 0 ? 0 : load(store, plan, diff_ids, image, err);
}
