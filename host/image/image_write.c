/*
 * An archive in two layouts at once, as docker save writes it since Docker 25: an OCI image
 * layout (image-spec image-layout.md) and manifest.json, over the same blobs.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "image/image.h"
#include "image/image_documents.h"
#include "image/layers.h"
#include "image/tar_out.h"
#include "support/cpu_time.h"
#include "support/memory.h"

/* Bytes that are written between two looks at whether to stop. */
#define STEP (1u << 20)

/* The priority (setpriority(2)) of what goes on beside something else. */
#define NICE_BESIDE 10

/* The base's layers as they are by now, and room for another one; the caller frees it. */
static struct layer_blob *collect(const struct image *base)
{
	struct layer_blob *blobs = xcalloc(base->layer_count + 1, sizeof(*blobs));
	for (size_t i = 0; i < base->layer_count; i++) {
		const struct image_layer *from = &base->layers[i];
		blobs[i] = (struct layer_blob){
			.digest = from->digest,
			.media_type = from->media_type,
			.annotations = image_annotations(base, i),
			.fd = from->blob_fd,
			.offset = from->blob_offset,
			.size = from->blob_size,
		};
	}
	return blobs;
}

static int put_blob(struct sink *sink, const struct digest *digest, const struct buffer *bytes,
	struct error *err)
{
	char name[BLOB_NAME_SIZE];
	return tar_out_bytes(sink, blob_name(digest, name), bytes->data, bytes->len, err);
}

/* What follows the layers. */
static int put_documents(
	struct sink *sink, const struct image_documents *documents, struct error *err)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	int r = put_blob(sink, &documents->digests.image_id, &documents->config, err);
	if (r == 0)
		r = put_blob(sink, &documents->digests.manifest, &documents->manifest, err);
	if (r == 0)
		r = tar_out_bytes(
			sink, "index.json", documents->index.data, documents->index.len, err);
	if (r == 0)
		r = tar_out_bytes(
			sink, "manifest.json", documents->docker.data, documents->docker.len, err);
	if (r == 0)
		r = tar_out_bytes(sink, "oci-layout", layout, sizeof(layout) - 1, err);
	if (r == 0)
		r = tar_out_end(sink, err);
	return r;
}

/* How far the layers are written. All zero at the archive's beginning. */
struct progress {
	bool has_folders;
	size_t blob;
	uint64_t done; /* bytes of that blob, whose header is written unless it is 0 */
};

struct image_writer {
	struct sink *sink;
	bool is_compressed;
	/* The base's from the start on, which a thread may begin to write, and room for the new
	 * one. */
	struct layer_blob *blobs;
	size_t base_count;
	struct progress progress;
	pthread_t thread;
	bool has_thread;
	atomic_bool is_stopping;
	atomic_bool has_failed; /* the thread, which has ended or is about to */
	struct report *report;
	/* The thread's alone until it ends. */
	struct report_time time;
	int result;
	struct error err;
};

int image_writer_new(
	int fd, enum image_compression compression, struct image_writer **out, struct error *err)
{
	cleanup_image_writer struct image_writer *writer = xcalloc(1, sizeof(*writer));
	int r = sink_open(fd, compression, &writer->sink, err);
	if (r < 0)
		return r;
	writer->is_compressed = compression != IMAGE_PLAIN;
	*out = steal_ptr(&writer);
	return 0;
}

static int put_folders(struct image_writer *writer, struct error *err)
{
	if (writer->progress.has_folders)
		return 0;
	writer->progress.has_folders = true;
	int r = tar_out_folder(writer->sink, "blobs/", err);
	return r < 0 ? r : tar_out_folder(writer->sink, "blobs/sha256/", err);
}

/* Whether a layer with the same bytes comes before. */
static bool is_repeated(const struct layer_blob *blobs, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (digest_equal(&blobs[k].digest, &blobs[i].digest))
			return true;
	}
	return false;
}

/* Goes on with one layer. Returns 1 where it was stopped before the layer's end. */
static int put_layer(struct image_writer *writer, const struct layer_blob *blob, struct error *err)
{
	uint64_t *done = &writer->progress.done;
	char name[BLOB_NAME_SIZE];
	blob_name(&blob->digest, name);
	int r = *done == 0 ? tar_out_file_header(writer->sink, name, blob->size, err) : 0;
	while (r == 0 && *done < blob->size) {
		uint64_t left = blob->size - *done;
		uint64_t n = left < STEP ? left : STEP;
		r = sink_copy(writer->sink, blob->fd, blob->offset + *done, n, name, err);
		*done += n;
		if (r == 0 && *done < blob->size && atomic_load(&writer->is_stopping))
			return 1;
	}
	return r < 0 ? r : tar_out_padding(writer->sink, blob->size, err);
}

/*
 * Writes the archive from where it stands to the end of the first count layers. Returns 1 where it
 * was stopped before; what is left is for another call.
 */
static int put_layers(struct image_writer *writer, size_t count, struct error *err)
{
	struct progress *progress = &writer->progress;
	int r = put_folders(writer, err);
	for (; r == 0 && progress->blob < count; progress->blob++, progress->done = 0) {
		if (atomic_load(&writer->is_stopping))
			return 1;
		if (!is_repeated(writer->blobs, progress->blob))
			r = put_layer(writer, &writer->blobs[progress->blob], err);
		if (r != 0)
			break;
	}
	return r;
}

/*
 * The beginning, beside something else, which goes first where there are not processors for both:
 * whoever waits for the end does himself what is left. Compressing has threads of its own, which
 * would stay behind others to the end.
 */
static void *work(void *data)
{
	struct image_writer *writer = data;
	writer->time = (struct report_time){
		.name = "blobs",
		.begin = report_clock(writer->report),
	};
	if (!writer->is_compressed)
		setpriority(PRIO_PROCESS, 0, NICE_BESIDE);
	writer->result = put_layers(writer, writer->base_count, &writer->err);
	atomic_store(&writer->has_failed, writer->result < 0);
	writer->time.seconds = report_clock(writer->report) - writer->time.begin;
	writer->time.cpu = cpu_seconds(RUSAGE_THREAD);
	return NULL;
}

/* Ends the thread where it is. Returns what failed in it. */
static int stop(struct image_writer *writer, struct error *err)
{
	if (!writer->has_thread)
		return 0;
	atomic_store(&writer->is_stopping, true);
	pthread_join(writer->thread, NULL);
	atomic_store(&writer->is_stopping, false);
	writer->has_thread = false;
	report_beside(writer->report, &writer->time);
	if (writer->result < 0)
		*err = writer->err;
	return writer->result < 0 ? writer->result : 0;
}

static void take_base(struct image_writer *writer, const struct image *base)
{
	writer->blobs = collect(base);
	writer->base_count = base->layer_count;
}

void image_writer_start(
	struct image_writer *writer, const struct image *base, struct report *report)
{
	if (writer->blobs != NULL || base->layer_count == 0)
		return;
	take_base(writer, base);
	writer->report = report;
	writer->has_thread = pthread_create(&writer->thread, NULL, work, writer) == 0;
}

int image_writer_check(struct image_writer *writer, struct error *err)
{
	return atomic_load(&writer->has_failed) ? stop(writer, err) : 0;
}

int image_writer_finish(struct image_writer *writer, const struct image *base,
	const struct image_write_options *options, struct image_written *written, struct error *err)
{
	cleanup_image_documents struct image_documents documents = {0};
	const struct image_new_layer *layer = options->layer;
	int r = stop(writer, err);
	if (r < 0)
		return r;
	if (writer->blobs == NULL)
		take_base(writer, base);
	size_t count = writer->base_count;
	if (layer != NULL)
		writer->blobs[count++] = (struct layer_blob){
			.digest = layer->diff_id,
			.media_type = TYPE_LAYER,
			.fd = layer->fd,
			.size = layer->size,
		};
	r = image_documents_make(base, options, writer->blobs, count, &documents, err);
	if (r == 0)
		r = put_layers(writer, count, err);
	if (r == 0)
		r = put_documents(writer->sink, &documents, err);
	if (r == 0)
		r = sink_finish(writer->sink, err);
	if (r == 0)
		*written = documents.digests;
	return r;
}

void image_writer_free(struct image_writer *writer)
{
	if (writer == NULL)
		return;
	struct error unseen;
	stop(writer, &unseen);
	sink_free(writer->sink);
	free(writer->blobs);
	free(writer);
}

int image_write(int fd, const struct image *base, const struct image_write_options *options,
	struct image_written *written, struct error *err)
{
	cleanup_image_writer struct image_writer *writer = NULL;
	int r = image_writer_new(fd, options->compression, &writer, err);
	return r < 0 ? r : image_writer_finish(writer, base, options, written, err);
}
