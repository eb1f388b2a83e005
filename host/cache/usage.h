/*
 * An estimate of what the cache's entries take, in a small file of the cache folder, so that not
 * every new entry has all of them looked at. It only says when to look: whatever it holds, and
 * without it, no more than entries that are counted anew follows.
 */
#ifndef LAYERVM_CACHE_USAGE_H
#define LAYERVM_CACHE_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#define USAGE_NAME ".usage"

/* After so many entries the estimate is no longer believed. */
#define USAGE_ENTRIES_MAX 256

/*
 * Adds a new entry. Returns whether all is to be counted: the estimate is above max, or is not
 * to be believed. Where another process writes the estimate just now, the entry is left out.
 */
bool usage_add(int folder, uint64_t bytes, uint64_t max);

/* Puts down what was counted. */
void usage_set(int folder, uint64_t bytes);

#endif
