/*
 * The new layer of a build: base image and files -> tree -> disk -> guest -> changes -> layer.
 * In the guest is the spec's script, or a session in its place.
 */
#ifndef LAYERVM_COMMANDS_BUILD_LAYER_H
#define LAYERVM_COMMANDS_BUILD_LAYER_H

#include "commands/build.h"
#include "commands/build_options.h"
#include "support/error.h"

/*
 * Makes the layer in an unnamed file. *layer: its descriptor, which the caller closes; -1 where
 * options->output is NULL: the changes of the session are counted, and gone. writer: the archive,
 * or NULL with it; it is started as soon as the base's bytes are known to be right. Fills the
 * result's base, guest_ran, outcome, changes and layer as far as it came.
 */
int build_layer(const struct build_options *options, struct image_writer *writer,
	struct build_result *result, int *layer, struct error *err);

#endif
