/*
 * Where the archive's bytes go: a file, as they are or compressed. Compressed bytes are the same
 * for every number of processors.
 */
#ifndef LAYERVM_IMAGE_SINK_H
#define LAYERVM_IMAGE_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "image/image.h"
#include "support/error.h"

struct sink;

/*
 * Writes to fd from its position on; fd stays the caller's. It may be a pipe: a signal
 * (interrupt.h) ends the waiting for its reader.
 */
int sink_open(int fd, enum image_compression compression, struct sink **out, struct error *err);

int sink_write(struct sink *sink, const void *data, size_t len, struct error *err);

/* Copies bytes of another file; where nothing is compressed, without reading them. */
int sink_copy(struct sink *sink, int from, uint64_t offset, uint64_t len, const char *name,
	struct error *err);

/* Ends the compression; the position of fd is behind the last byte then. */
int sink_finish(struct sink *sink, struct error *err);

void sink_free(struct sink *sink);
static inline void cleanup_sink_fn(struct sink **sink)
{
	sink_free(*sink);
}
#define cleanup_sink __attribute__((cleanup(cleanup_sink_fn)))

#endif
