#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "image/image.h"
#include "image/inflate.h"
#include "image/layers.h"
#include "image/range.h"
#include "image/store.h"
#include "support/memory.h"
#include "support/ring.h"

struct image_stream {
	struct inflate_sink base;
	struct store *store;
	struct inflate_budget *budget; /* the image's */
	char *name;
	struct image_layer layer; /* zeros as the digest: it is not known yet */
	bool was_read;            /* to the end, and all was right: digest and size are known */
	/* Of one reading, from the first byte to the last. */
	struct ring *ring; /* NULL: nothing was read yet */
	pthread_t thread;
	struct inflate_job job;
	_Atomic bool abandoned;
	/* The thread's until it has ended. */
	int result;
	struct error err;
	/* The reader's. */
	uint64_t position;     /* bytes that were given */
	bool has_ended;        /* the last byte was given, and all is right */
	bool has_buffer;       /* of the ring, to be given back */
	struct hasher *hasher; /* of the tar; NULL: it is right where the blob is */
};

static void *next_buffer(struct inflate_sink *sink)
{
	return ring_buffer(((struct image_stream *)sink)->ring);
}

static void push(struct inflate_sink *sink, size_t len)
{
	ring_push(((struct image_stream *)sink)->ring, len);
}

static void *work(void *data)
{
	struct image_stream *stream = data;
	stream->result = inflate_into(&stream->job, &stream->base, &stream->err);
	ring_close(stream->ring);
	return NULL;
}

struct image_stream *image_stream_new(const struct image *image, size_t layer)
{
	struct image_stream *stream = xcalloc(1, sizeof(*stream));
	stream->base = (struct inflate_sink){.buffer = next_buffer, .push = push};
	stream->store = store_ref(image->files->store);
	stream->budget = inflate_budget_ref(image->files->budget);
	stream->name = xstrdup(image->files->names[layer]);
	stream->layer = image->layers[layer];
	return stream;
}

static int changed(const struct image_stream *stream, const char *how, struct error *err)
{
	return error_set(
		err, ERROR_INPUT, EINVAL, "%s: %s: changed while it was read", stream->name, how);
}

static int start(struct image_stream *stream, struct error *err)
{
	const struct image_layer *layer = &stream->layer;
	stream->position = 0;
	stream->job = (struct inflate_job){
		.from = layer->blob_fd,
		.offset = layer->blob_offset,
		.size = layer->blob_size,
		.name = stream->name,
		/* Another reading gives no more than the first. */
		.budget = stream->was_read ? NULL : stream->budget,
		.abandoned = &stream->abandoned,
		.is_known = layer->is_trusted,
	};
	hasher_free(stream->hasher);
	stream->hasher = stream->was_read || layer->is_trusted ? NULL : hasher_new();
	int r = inflate_detect(layer->blob_fd, layer->blob_offset, layer->blob_size, stream->name,
		&stream->job.format, err);
	if (r < 0)
		return r;
	/* It was when the layer was chosen. */
	if (stream->job.format == NULL)
		return changed(stream, "is not compressed any more", err);
	stream->ring = ring_new();
	int code = pthread_create(&stream->thread, NULL, work, stream);
	if (code == 0)
		return 0;
	ring_free(stream->ring);
	stream->ring = NULL;
	return error_set(err, ERROR_INTERNAL, code, "%s: no thread can be started for it: %s",
		stream->name, strerror(code));
}

/* Waits for the thread. */
static void join(struct image_stream *stream)
{
	pthread_join(stream->thread, NULL);
	ring_free(stream->ring);
	stream->ring = NULL;
}

/* A reading that did not come to a right end will be begun anew. */
static void give_back(struct image_stream *stream)
{
	if (stream->job.budget != NULL)
		atomic_fetch_sub(&stream->job.budget->used, stream->job.inflated_size);
}

static int check_digests(struct image_stream *stream, struct error *err)
{
	static const struct digest unknown;
	const struct image_layer *layer = &stream->layer;
	int r = 0;
	if (!digest_equal(&layer->digest, &unknown))
		r = digest_expect(&layer->digest, &stream->job.digest, stream->name, "digest", err);
	if (r == 0 && stream->hasher != NULL) {
		struct digest diff_id = hasher_finish(stream->hasher);
		r = digest_expect(&layer->diff_id, &diff_id, stream->name, "diff ID", err);
	}
	return r;
}

/* A file's time changes with its names and its mode, too: whether its bytes did, they tell. */
static int check_blob(const struct image_stream *stream, struct error *err)
{
	const struct image_layer *layer = &stream->layer;
	cleanup_drain struct drain *drain = drain_new(-1, 0);
	struct digest found;
	struct range range = {
		.fd = layer->blob_fd,
		.offset = layer->blob_offset,
		.end = layer->blob_offset + layer->blob_size,
		.name = stream->name,
		.drain = drain,
		.err = err,
	};
	int r = range_finish(&range, &found);
	return r < 0 ? r : digest_expect(&layer->digest, &found, stream->name, "digest", err);
}

/* Compares what was read with what is known of it, and remembers it for the next time. */
static int check(struct image_stream *stream, struct error *err)
{
	struct image_layer *layer = &stream->layer;
	int r = 0;
	if (!layer->is_trusted)
		r = check_digests(stream, err);
	else if (!store_is_unchanged(stream->store))
		r = check_blob(stream, err);
	if (r == 0 && stream->was_read && stream->position != layer->tar_size)
		r = changed(stream, "gives fewer bytes than the first time", err);
	if (r < 0)
		return r;
	if (!layer->is_trusted)
		layer->digest = stream->job.digest;
	layer->tar_size = stream->position;
	stream->was_read = stream->has_ended = true;
	return 0;
}

static int end(struct image_stream *stream, struct error *err)
{
	join(stream);
	int r = stream->result;
	if (r < 0)
		*err = stream->err;
	else
		r = check(stream, err);
	if (r < 0)
		give_back(stream);
	return r;
}

int image_stream_next(
	struct image_stream *stream, const uint8_t **data, size_t *len, struct error *err)
{
	*len = 0;
	if (stream->has_ended)
		return 0;
	int r = stream->ring == NULL ? start(stream, err) : 0;
	if (r < 0)
		return r;
	/* An empty piece tells the maker's end, no more. */
	do {
		if (stream->has_buffer)
			ring_release(stream->ring);
		*data = ring_next(stream->ring, len);
		stream->has_buffer = *data != NULL;
	} while (stream->has_buffer && *len == 0);
	if (!stream->has_buffer)
		return end(stream, err);
	if (stream->was_read && *len > stream->layer.tar_size - stream->position)
		return changed(stream, "gives more bytes than the first time", err);
	stream->position += *len;
	if (stream->hasher != NULL)
		hasher_add(stream->hasher, *data, *len);
	return 0;
}

void image_stream_rewind(struct image_stream *stream)
{
	stream->has_ended = false;
	if (stream->ring == NULL)
		return;
	atomic_store(&stream->abandoned, true);
	ring_stop(stream->ring);
	join(stream);
	give_back(stream);
	stream->has_buffer = false;
	atomic_store(&stream->abandoned, false);
}

void image_stream_settle(const struct image_stream *stream, struct image_layer *layer)
{
	layer->digest = stream->layer.digest;
	layer->tar_size = stream->layer.tar_size;
}

void image_stream_free(struct image_stream *stream)
{
	if (stream == NULL)
		return;
	image_stream_rewind(stream);
	hasher_free(stream->hasher);
	inflate_budget_unref(stream->budget);
	store_unref(stream->store);
	free(stream->name);
	free(stream);
}
