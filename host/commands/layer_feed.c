#include "commands/layer_feed.h"

#include "support/memory.h"

struct layer_feed {
	struct feed base;
	struct image_stream *stream;
	int result; /* of the last reading */
	struct error err;
};

static struct image_stream *stream_of(const struct feed *feed)
{
	return ((const struct layer_feed *)feed)->stream;
}

static int next(struct feed *feed, const uint8_t **data, size_t *len, struct error *err)
{
	struct layer_feed *own = (struct layer_feed *)feed;
	own->result = image_stream_next(own->stream, data, len, err);
	if (own->result < 0)
		own->err = *err;
	return own->result;
}

static void rewind_stream(struct feed *feed)
{
	image_stream_rewind(stream_of(feed));
}

static void free_feed(struct feed *feed)
{
	image_stream_free(stream_of(feed));
	free(feed);
}

struct feed *layer_feed_new(const struct image *image, size_t layer)
{
	struct layer_feed *feed = xcalloc(1, sizeof(*feed));
	feed->base = (struct feed){.next = next, .rewind = rewind_stream, .free = free_feed};
	feed->stream = image_stream_new(image, layer);
	return &feed->base;
}

int layer_feed_failure(const struct feed *feed, struct error *err)
{
	const struct layer_feed *own = (const struct layer_feed *)feed;
	if (own->result < 0)
		*err = own->err;
	return own->result;
}

void layer_feed_settle(const struct feed *feed, struct image_layer *layer)
{
	image_stream_settle(stream_of(feed), layer);
}
