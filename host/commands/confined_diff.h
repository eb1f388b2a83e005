/*
 * The disk that the guest wrote is hostile: what reads it runs in a child process that can do
 * nothing but read and write descriptors it already has.
 */
#ifndef LAYERVM_COMMANDS_CONFINED_DIFF_H
#define LAYERVM_COMMANDS_CONFINED_DIFF_H

#include "layer/layer.h"
#include "support/error.h"
#include "tree/changes.h"
#include "tree/tree.h"

/*
 * Brings the tree to what the guest left on base + overlay (disk_reread), marks the changes and
 * writes the layer to layer_fd, all in a forked child under seccomp; the caller's tree stays as
 * it was. changes and info are filled on success. A child that dies is an ERROR_GUEST; a signal
 * (interrupt.h) ends it.
 */
int confined_diff(struct tree *tree, int base_fd, int overlay_fd, int layer_fd,
	const struct layer_options *options, struct changes *changes, struct layer_info *info,
	struct error *err);

#endif
