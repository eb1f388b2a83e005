/*
 * What is marked of a tree as a tar: to a file, which appears whole or not at all, or to a stream
 * (output.h), as it is made.
 */
#ifndef LAYERVM_COMMANDS_TAR_OUTPUT_H
#define LAYERVM_COMMANDS_TAR_OUTPUT_H

#include <stdbool.h>

#include "image/image.h"
#include "layer/layer.h"
#include "support/error.h"
#include "tree/tree.h"

struct tar_output;

/* As output_open_direct. compression: of the tar. */
int tar_output_open(const char *path, enum image_compression compression, struct tar_output **out,
	struct error *err);

/*
 * Writes the whole tar (layer_write_to). Of a tar that failed half-way to a stream the rest
 * of an entry is missing, or the end of the compressed stream; after a signal it stops anywhere.
 * info: of the tar before it is compressed.
 */
int tar_output_write(struct tar_output *output, struct tree *tree,
	const struct layer_options *options, struct layer_info *info, struct error *err);

/*
 * Whether what is written is seen at once: what goes into it must have been verified, and what is
 * read once more for it, before the end (before_end of layer_options).
 */
bool tar_output_is_stream(const struct tar_output *output);

/* Gives the file its name (output_commit), after a last look for a signal. */
int tar_output_commit(struct tar_output *output, struct error *err);

void tar_output_free(struct tar_output *output);
static inline void cleanup_tar_output_fn(struct tar_output **output)
{
	tar_output_free(*output);
}
#define cleanup_tar_output __attribute__((cleanup(cleanup_tar_output_fn)))

#endif
