/* The stages of a build that take a guest: disk, boot, script, diff. */
#ifndef LAYERVM_COMMANDS_GUEST_RUN_H
#define LAYERVM_COMMANDS_GUEST_RUN_H

#include "commands/build.h"
#include "tree/tree.h"

/*
 * Assembles the tree's current state as a disk, runs the spec's runAsRoot on it in a guest and
 * writes what differs from the tree's base state to layer_fd. The tree's current state is of no
 * use afterwards (tree_revert). Fills outcome, guest_ran, changes and layer of the result.
 */
int guest_run(const struct build_options *options, struct tree *tree, int layer_fd,
	const struct layer_options *layer_options, struct build_result *result, struct error *err);

#endif
