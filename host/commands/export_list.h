/* The entries of a tree as `tar tv --numeric-owner` shows a tar of it. */
#ifndef LAYERVM_COMMANDS_EXPORT_LIST_H
#define LAYERVM_COMMANDS_EXPORT_LIST_H

#include <stdio.h>

#include "commands/export_options.h"
#include "support/error.h"
#include "tree/tree.h"

/*
 * Prints the current state, sorted (tree_sort), a line an entry, times in the local time zone,
 * names as quoted_put has them. Fails with ERROR_OUTPUT where they cannot be written, and when
 * interrupted.
 */
int export_list(struct tree *tree, const struct mtime_choice *mtime, FILE *out, struct error *err);

#endif
