#include "image/blobs.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "image/range.h"
#include "support/cpu_count.h"
#include "support/fileio.h"
#include "support/memory.h"

/* Layers begin at such a boundary of a spool, so that file systems can share their blocks. */
#define SPOOL_ALIGN 4096u

#define TYPE_TAR "application/vnd.oci.image.layer.v1.tar"

bool blobs_becomes_tar(const struct decode_format *format)
{
	return format != NULL && format != &decode_gzip && format != &decode_zstd;
}

const char *blobs_media_type(const struct decode_format *format)
{
	return format == &decode_gzip   ? TYPE_TAR "+gzip"
	       : format == &decode_zstd ? TYPE_TAR "+zstd"
					: TYPE_TAR;
}

struct blobs *blobs_new(size_t count, enum image_tars tars)
{
	struct blobs *blobs = xcalloc(1, sizeof(*blobs));
	blobs->tars = tars;
	blobs->items = xcalloc(count, sizeof(*blobs->items));
	pthread_mutex_init(&blobs->lock, NULL);
	return blobs;
}

struct blob *blobs_find(struct blobs *blobs, const struct extent *extent)
{
	for (size_t i = 0; i < blobs->count; i++) {
		const struct extent *other = &blobs->items[i].extent;
		if (other->fd == extent->fd && other->offset == extent->offset)
			return &blobs->items[i];
	}
	return NULL;
}

struct blob *blobs_add(struct blobs *blobs, const struct extent *extent,
	const struct decode_format *format, char *name)
{
	struct blob *blob = &blobs->items[blobs->count++];
	*blob = (struct blob){.extent = *extent, .format = format};
	blob->name = name;
	struct image_layer *layer = &blob->layer;
	layer->blob_fd = extent->fd;
	layer->blob_offset = extent->offset;
	layer->blob_size = extent->size;
	layer->tar_fd = -1;
	layer->media_type = blobs_media_type(format);
	if (format == NULL) {
		layer->tar_fd = extent->fd;
		layer->tar_offset = extent->offset;
		layer->tar_size = extent->size;
	}
	return blob;
}

static void stop(struct blobs *blobs)
{
	pthread_mutex_lock(&blobs->lock);
	blobs->stopped = true;
	pthread_mutex_unlock(&blobs->lock);
}

static int hash_plain(struct blobs *blobs, struct blob *blob)
{
	cleanup_drain struct drain *drain = drain_new(-1, 0);
	struct range range = {
		.fd = blob->extent.fd,
		.offset = blob->extent.offset,
		.end = blob->extent.offset + blob->extent.size,
		.name = blob->name,
		.drain = drain,
		.err = &blob->err,
	};
	const uint8_t *data;
	size_t len;
	int r = 0;
	while (r == 0 && range.offset < range.end) {
		if (atomic_load(&blobs->abandoned))
			return error_set(
				&blob->err, ERROR_INTERNAL, ECANCELED, "%s: abandoned", blob->name);
		r = range_next(&range, &data, &len);
	}
	if (r == 0)
		r = range_finish(&range, &blob->digest);
	if (r < 0)
		return r;
	blob->layer.digest = blob->digest;
	blob->layer.diff_id = blob->digest;
	return 0;
}

/*
 * The OCI image-spec has no media type for xz and bzip2: such a layer goes on as its tar, which
 * leaves the diff ID as it is.
 */
static void take_inflated(struct image_layer *layer)
{
	layer->digest = layer->diff_id;
	layer->blob_fd = layer->tar_fd;
	layer->blob_offset = layer->tar_offset;
	layer->blob_size = layer->tar_size;
}

/* The worker's file for tars, made for the first. */
static int open_spool(struct blobs_worker *worker, int *to, struct error *err)
{
	if (worker->spool < 0)
		worker->spool = file_temporary(err);
	*to = worker->spool;
	return worker->spool < 0 ? worker->spool : 0;
}

static int inflate_blob(struct blobs_worker *worker, struct blob *blob)
{
	struct image_layer *layer = &blob->layer;
	bool has_tar = worker->blobs->tars != IMAGE_TARS_DROPPED || blobs_becomes_tar(blob->format);
	int to = -1;
	int r = has_tar ? open_spool(worker, &to, &blob->err) : 0;
	if (r < 0)
		return r;
	struct inflate_job job = {
		.from = layer->blob_fd,
		.offset = layer->blob_offset,
		.size = layer->blob_size,
		.format = blob->format,
		.name = blob->name,
		.budget = worker->blobs->budget,
		.abandoned = &worker->blobs->abandoned,
	};
	r = inflate_run(&job, to, worker->spool_end, &blob->err);
	if (r < 0)
		return r;
	blob->digest = job.digest;
	layer->digest = job.digest;
	layer->diff_id = job.inflated;
	layer->tar_fd = to;
	layer->tar_offset = worker->spool_end;
	layer->tar_size = job.inflated_size;
	if (has_tar) {
		uint64_t end = worker->spool_end + job.inflated_size;
		worker->spool_end = (end + SPOOL_ALIGN - 1) / SPOOL_ALIGN * SPOOL_ALIGN;
	}
	if (blobs_becomes_tar(blob->format))
		take_inflated(layer);
	return 0;
}

static struct blob *take(struct blobs *blobs)
{
	struct blob *blob = NULL;
	pthread_mutex_lock(&blobs->lock);
	if (!blobs->stopped && blobs->next < blobs->count)
		blob = &blobs->items[blobs->next++];
	pthread_mutex_unlock(&blobs->lock);
	return blob;
}

static void *work(void *data)
{
	struct blobs_worker *worker = data;
	struct blob *blob;
	while ((blob = take(worker->blobs)) != NULL) {
		blob->result = blob->format == NULL ? hash_plain(worker->blobs, blob)
						    : inflate_blob(worker, blob);
		if (blob->result < 0)
			stop(worker->blobs);
	}
	return NULL;
}

void blobs_start(struct blobs *blobs, enum blobs_start how)
{
	blobs->worker_count = cpu_count(BLOBS_THREADS_MAX);
	if (blobs->worker_count > blobs->count)
		blobs->worker_count = blobs->count;
	for (size_t i = 0; i < blobs->worker_count; i++) {
		struct blobs_worker *worker = &blobs->workers[i];
		*worker = (struct blobs_worker){.blobs = blobs, .spool = -1};
		if (i > 0 || how == BLOBS_BESIDE)
			worker->started = pthread_create(&worker->thread, NULL, work, worker) == 0;
	}
}

static void join(struct blobs *blobs)
{
	for (size_t i = 0; i < blobs->worker_count; i++) {
		if (blobs->workers[i].started)
			pthread_join(blobs->workers[i].thread, NULL);
	}
}

void blobs_finish(struct blobs *blobs, int *spools, size_t *spool_count)
{
	if (blobs->worker_count != 0 && !blobs->workers[0].started)
		work(&blobs->workers[0]);
	join(blobs);
	*spool_count = 0;
	for (size_t i = 0; i < blobs->worker_count; i++) {
		if (blobs->workers[i].spool >= 0)
			spools[(*spool_count)++] = blobs->workers[i].spool;
	}
	blobs->worker_count = 0;
}

void blobs_free(struct blobs *blobs)
{
	if (blobs == NULL)
		return;
	stop(blobs);
	atomic_store(&blobs->abandoned, true);
	join(blobs);
	for (size_t i = 0; i < blobs->worker_count; i++)
		cleanup_close_fn(&blobs->workers[i].spool);
	for (size_t i = 0; i < blobs->count; i++)
		free(blobs->items[i].name);
	free(blobs->items);
	pthread_mutex_destroy(&blobs->lock);
	free(blobs);
}
