/* How large the cache may become, as the user's environment says or the file system suggests. */
#ifndef LAYERVM_CACHE_LIMITS_H
#define LAYERVM_CACHE_LIMITS_H

#include <stdint.h>

#include "support/error.h"

struct cache_limits {
	uint64_t max_size; /* bytes that all entries take, those of CACHE_KEPT_KIND not counted */
	uint64_t min_free; /* bytes of the file system that are left to others */
};

/*
 * $LAYERVM_CACHE_MAX_SIZE, else 10 GiB or a tenth of the file system, whichever is less; and
 * $LAYERVM_CACHE_MIN_FREE, else 1 GiB or a twentieth of it, whichever is less. folder: in that file
 * system. A variable that is no size (size.h) is an ERROR_USAGE; empty is as not set.
 */
int cache_limits_find(int folder, struct cache_limits *limits, struct error *err);

/* The bytes that others can have of the file system now; UINT64_MAX where it does not say. */
uint64_t cache_free_space(int folder);

#endif
