#include "commands/layer_feed.h"

#include "support/memory.h"

struct layer_feed {
	struct feed base;
	struct image_stream *stream;
};

static struct image_stream *stream_of(const struct feed *feed)
{
	return ((const struct layer_feed *)feed)->stream;
}

static int next(struct feed *feed, const uint8_t **data, size_t *len, struct error *err)
{
	return image_stream_next(stream_of(feed), data, len, err);
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
	struct layer_feed *feed = xmalloc(sizeof(*feed));
	feed->base = (struct feed){.next = next, .rewind = rewind_stream, .free = free_feed};
	feed->stream = image_stream_new(image, layer);
	return &feed->base;
}

void layer_feed_settle(const struct feed *feed, struct image_layer *layer)
{
	image_stream_settle(stream_of(feed), layer);
}
