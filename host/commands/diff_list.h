/* The marked changes of a tree as lines for people. */
#ifndef LAYERVM_COMMANDS_DIFF_LIST_H
#define LAYERVM_COMMANDS_DIFF_LIST_H

#include <stdbool.h>
#include <stdio.h>

#include "support/error.h"
#include "tree/tree.h"

/*
 * Prints what changes_mark has marked, in the order of the tree: "A /path", "C /path" or
 * "D /path"; where a directory goes, or becomes something else, nothing is said of what was below.
 * verbose: below a changed one, an indented line for each difference; for the further names of a
 * file only the first name. name: of out, for messages. Fails with ERROR_OUTPUT where the lines
 * cannot be written, with a read error of a source, and when interrupted.
 */
int diff_list(struct tree *tree, bool verbose, FILE *out, const char *name, struct error *err);

#endif
