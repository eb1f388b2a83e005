#include "image/layers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "image/config_check.h"
#include "image/inflate.h"
#include "image/range.h"
#include "support/fileio.h"
#include "support/memory.h"

/* More threads than this are not faster: the disk is busy. */
#define THREADS_MAX 8u

/* Layers begin at such a boundary of a spool, so that file systems can share their blocks. */
#define SPOOL_ALIGN 4096u

#define TYPE_TAR "application/vnd.oci.image.layer.v1.tar"

/* One distinct member. */
struct blob {
	const struct member *member;
	char *name;           /* for messages */
	struct digest digest; /* of the member's bytes */
	struct image_layer layer;
	struct error err;
	int result;
};

struct loader {
	int fd; /* the archive */
	struct blob *blobs;
	size_t count;
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
	if (files->archive >= 0)
		close(files->archive);
	free(files);
}

static int hash_plain(struct loader *loader, struct blob *blob)
{
	cleanup_free uint8_t *buffer = xmalloc(RANGE_CHUNK);
	cleanup_hasher struct hasher *hasher = hasher_new();
	struct image_layer *layer = &blob->layer;
	struct range range = {
		.fd = loader->fd,
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

static int inflate_blob(struct worker *worker, struct blob *blob, enum compression compression)
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
		.compression = compression,
		.name = blob->name,
		.to = worker->spool,
		.to_offset = worker->spool_end,
		.limit = &inflate_image_limit,
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
	if (compression == COMPRESSION_GZIP)
		layer->media_type = TYPE_TAR "+gzip";
	else if (compression == COMPRESSION_ZSTD)
		layer->media_type = TYPE_TAR "+zstd";
	else
		take_inflated(layer);
	return 0;
}

static int load_blob(struct worker *worker, struct blob *blob)
{
	struct image_layer *layer = &blob->layer;
	enum compression compression;
	layer->blob_fd = worker->loader->fd;
	layer->blob_offset = blob->member->offset;
	layer->blob_size = blob->member->size;
	int r = inflate_detect(layer->blob_fd, layer->blob_offset, layer->blob_size, blob->name,
		&compression, &blob->err);
	if (r < 0)
		return r;
	if (compression == COMPRESSION_NONE)
		return hash_plain(worker->loader, blob);
	return inflate_blob(worker, blob, compression);
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

/* The blob of a member among the first count ones, or NULL. */
static struct blob *find_blob(struct blob *blobs, size_t count, const struct member *member)
{
	for (size_t i = 0; i < count; i++) {
		if (blobs[i].member == member)
			return &blobs[i];
	}
	return NULL;
}

static void add_blobs(struct loader *loader, const struct plan *plan, const char *path)
{
	loader->blobs = xcalloc(plan->layer_count, sizeof(*loader->blobs));
	for (size_t i = 0; i < plan->layer_count; i++) {
		const struct plan_layer *layer = &plan->layers[i];
		if (find_blob(loader->blobs, loader->count, layer->member) != NULL)
			continue;
		struct blob *blob = &loader->blobs[loader->count++];
		blob->member = layer->member;
		blob->name = xasprintf(
			"%s: layer %zu of %zu (%s)", path, i + 1, plan->layer_count, layer->label);
	}
}

static void free_blobs(struct loader *loader)
{
	for (size_t i = 0; i < loader->count; i++)
		free(loader->blobs[i].name);
	free(loader->blobs);
}

static int mismatch(const char *name, const char *what, const struct digest *expected,
	const struct digest *found, struct error *err)
{
	char expected_text[DIGEST_TEXT_SIZE];
	char found_text[DIGEST_TEXT_SIZE];
	return error_set(err, ERROR_INPUT, EINVAL, "%s: expected the %s %s, found %s", name, what,
		digest_text(expected, expected_text), digest_text(found, found_text));
}

/* Compares each layer with what the archive and the config say of it. */
static int check_layers(struct loader *loader, const struct plan *plan,
	const struct digest *diff_ids, struct image_layer *layers, struct error *err)
{
	for (size_t i = 0; i < plan->layer_count; i++) {
		const struct plan_layer *layer = &plan->layers[i];
		const struct blob *blob = find_blob(loader->blobs, loader->count, layer->member);
		if (blob->result < 0) {
			*err = blob->err;
			return blob->result;
		}
		if (layer->has_digest && !digest_equal(&layer->digest, &blob->digest))
			return mismatch(blob->name, "digest", &layer->digest, &blob->digest, err);
		if (!digest_equal(&diff_ids[i], &blob->layer.diff_id))
			return mismatch(
				blob->name, "diff ID", &diff_ids[i], &blob->layer.diff_id, err);
		layers[i] = blob->layer;
	}
	return 0;
}

int layers_load(const struct archive_index *index, const struct plan *plan, struct image *image,
	struct error *err)
{
	size_t diff_count;
	cleanup_free struct digest *diff_ids = config_diff_ids(plan->config, &diff_count);
	if (diff_count != plan->layer_count)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: the manifest lists %zu layers, but the image config has %zu diff IDs",
			index->path, plan->layer_count, diff_count);
	image->layers = xcalloc(plan->layer_count, sizeof(*image->layers));
	image->layer_count = plan->layer_count;
	if (plan->layer_count == 0)
		return 0;
	struct loader loader = {.fd = index->fd, .lock = PTHREAD_MUTEX_INITIALIZER};
	add_blobs(&loader, plan, index->path);
	run_workers(&loader, image->files);
	int r = check_layers(&loader, plan, diff_ids, image->layers, err);
	free_blobs(&loader);
	return r;
}
