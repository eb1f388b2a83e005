/*
 * Files of entries that are being made, where the file system knows no files without a name: each
 * has a name that is no key, and is locked (flock(2)) as long as somebody has it open, so that
 * what a killed process left is told from it.
 */
#ifndef LAYERVM_CACHE_UNFINISHED_H
#define LAYERVM_CACHE_UNFINISHED_H

#include <stdbool.h>

#include "support/error.h"

bool is_unfinished_name(const char *name);

/*
 * Makes one, open for reading and writing. *name: the caller's to free. Returns the descriptor, or
 * an ERROR_OUTPUT.
 */
int unfinished_make(int folder, char **name, struct error *err);

/* Removes one that nobody makes any more. Returns whether it did. */
bool unfinished_remove(int folder, const char *name);

#endif
