#include "commands/tar_output.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/sink.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "support/output.h"
#include "support/pump.h"
#include "support/temporary.h"

/*
 * Bytes are made by the caller's thread and written by one of its own: reading the next file and
 * writing the last one take about as long.
 */
struct tar_output {
	struct layer_sink base; /* what layer_write_to writes to */
	struct output *file;
	struct sink *sink; /* the compressor, or what passes bytes on as they are */
	struct pump *pump; /* to the sink, which is the pump's until it is finished */
};

static int write_piece(void *context, const uint8_t *data, size_t len, struct error *err)
{
	return sink_write(context, data, len, err);
}

static int write_bytes(struct layer_sink *base, const void *data, size_t len, struct error *err)
{
	struct tar_output *output = (struct tar_output *)base;
	while (len > 0) {
		size_t n = len < RING_CHUNK ? len : RING_CHUNK;
		void *buffer = pump_buffer(output->pump);
		if (buffer == NULL)
			return pump_finish(output->pump, err);
		memcpy(buffer, data, n);
		pump_push(output->pump, n);
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
	temporary_also_beside(path);
	int r = output_open_direct(path, &output->file, err);
	if (r < 0)
		return r;
	r = sink_open(output_fd(output->file), compression, &output->sink, err);
	if (r < 0)
		return r;
	output->pump = pump_new(write_piece, output->sink);
	*out = steal_ptr(&output);
	return 0;
}

int tar_output_write(struct tar_output *output, struct tree *tree,
	const struct layer_options *options, struct layer_info *info, struct error *err)
{
	int r = layer_write_to(tree, &output->base, options, info, err);
	if (r == 0)
		r = pump_finish(output->pump, err);
	return r < 0 ? r : sink_finish(output->sink, err);
}

bool tar_output_is_stream(const struct tar_output *output)
{
	return output_is_stream(output->file);
}

int tar_output_commit(struct tar_output *output, struct error *err)
{
	int r = interrupt_check(err);
	return r < 0 ? r : output_commit(output->file, err);
}

void tar_output_free(struct tar_output *output)
{
	if (output == NULL)
		return;
	pump_free(output->pump);
	sink_free(output->sink);
	output_free(output->file);
	free(output);
}
