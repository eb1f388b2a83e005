#include "commands/tar_output.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/ring.h"
#include "image/sink.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

/*
 * Bytes are made by the caller's thread and written by one of its own: reading the next file and
 * writing the last one take about as long.
 */
struct tar_output {
	struct layer_sink base; /* what layer_write_to writes to */
	struct output *file;    /* NULL: standard output */
	struct sink *sink;      /* the compressor, or what passes bytes on as they are */
	struct ring *ring;      /* what is on its way to the thread */
	bool has_thread;        /* else the caller writes */
	pthread_t thread;
	/* The thread's until it has ended. */
	int result;
	struct error err;
};

static void *work(void *data)
{
	struct tar_output *output = data;
	const uint8_t *bytes;
	size_t len;
	while (output->result == 0 && (bytes = ring_next(output->ring, &len)) != NULL) {
		output->result = sink_write(output->sink, bytes, len, &output->err);
		ring_release(output->ring);
	}
	if (output->result < 0)
		ring_stop(output->ring);
	return NULL;
}

static void start(struct tar_output *output)
{
	output->ring = ring_new();
	output->has_thread = pthread_create(&output->thread, NULL, work, output) == 0;
}

/* Waits until all is written. */
static int join(struct tar_output *output, struct error *err)
{
	if (output->has_thread) {
		ring_close(output->ring);
		pthread_join(output->thread, NULL);
		output->has_thread = false;
	}
	if (output->result < 0)
		*err = output->err;
	return output->result;
}

static int write_bytes(struct layer_sink *base, const void *data, size_t len, struct error *err)
{
	struct tar_output *output = (struct tar_output *)base;
	if (!output->has_thread)
		return sink_write(output->sink, data, len, err);
	while (len > 0) {
		size_t n = len < RING_CHUNK ? len : RING_CHUNK;
		void *buffer = ring_buffer(output->ring);
		if (buffer == NULL)
			return join(output, err);
		memcpy(buffer, data, n);
		ring_push(output->ring, n);
		data = (const uint8_t *)data + n;
		len -= n;
	}
	return 0;
}

int tar_output_open(const char *path, enum image_compression compression, struct tar_output **out,
	struct error *err)
{
	cleanup_tar_output struct tar_output *output = xcalloc(1, sizeof(*output));
	output->base.write = write_bytes;
	int r = strcmp(path, "-") == 0 ? 0 : output_open(path, &output->file, err);
	if (r < 0)
		return r;
	int fd = output->file != NULL ? output_fd(output->file) : STDOUT_FILENO;
	r = sink_open(fd, compression, &output->sink, err);
	if (r == 0)
		*out = steal_ptr(&output);
	return r;
}

int tar_output_write(struct tar_output *output, struct tree *tree,
	const struct layer_options *options, struct layer_info *info, struct error *err)
{
	start(output);
	int r = layer_write_to(tree, &output->base, options, info, err);
	if (r == 0)
		r = join(output, err);
	return r < 0 ? r : sink_finish(output->sink, err);
}

bool tar_output_is_stream(const struct tar_output *output)
{
	return output->file == NULL;
}

int tar_output_commit(struct tar_output *output, struct error *err)
{
	int r = interrupt_check(err);
	return r < 0 || output->file == NULL ? r : output_commit(output->file, err);
}

void tar_output_free(struct tar_output *output)
{
	if (output == NULL)
		return;
	struct error ignored;
	join(output, &ignored);
	ring_free(output->ring);
	sink_free(output->sink);
	output_free(output->file);
	free(output);
}
