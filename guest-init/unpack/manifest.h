/*
 * The list of layers on the disk that they come on, in the file protocol.h names: a line a layer,
 * lowest first, "FILE SIZE COMPRESSION": a name without '/', the file's bytes, and "plain",
 * "gzip" or "zstd".
 */
#ifndef GUEST_INIT_UNPACK_MANIFEST_H
#define GUEST_INIT_UNPACK_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

enum layer_compression { LAYER_PLAIN, LAYER_GZIP, LAYER_ZSTD };

struct layer_file {
	char name[64];
	uint64_t size;
	enum layer_compression compression;
};

struct manifest {
	struct layer_file *layers;
	size_t count;
	size_t capacity;
};

/* Reads the list in a folder. The caller frees the result with manifest_free. */
int manifest_read(int folder, struct manifest *out, struct error *err);
void manifest_free(struct manifest *manifest);
#define cleanup_manifest __attribute__((cleanup(manifest_free)))

#endif
