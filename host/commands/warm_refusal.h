/*
 * What the cache remembers of guests that could not be saved for want of room, as a quota makes it
 * that nothing tells beforehand: a try takes as long as a boot, and is not made in every run.
 */
#ifndef LAYERVM_COMMANDS_WARM_REFUSAL_H
#define LAYERVM_COMMANDS_WARM_REFUSAL_H

#include <stdint.h>

#include "cache/cache.h"
#include "support/digest.h"
#include "support/error.h"

/* The kind of the entries, each under the key of a saved guest (template_key). */
#define WARM_REFUSAL_KIND "warm-refusal"

/* A try is made again once so many bytes more are free. */
#define WARM_REFUSAL_MORE (UINT64_C(32) << 20)

/*
 * Whether a try is worth it: 0; or an ERROR_OUTPUT, ENOSPC, where one failed since the machine was
 * started and no WARM_REFUSAL_MORE bytes were freed. What cannot be read is no refusal.
 */
int warm_refusal_check(const struct cache *cache, const struct digest *key, struct error *err);

/* Remembers that a try failed, before which so many bytes were free. Without it the next run tries.
 */
void warm_refusal_put(const struct cache *cache, const struct digest *key, uint64_t free_space);

/* Forgets it. */
void warm_refusal_remove(const struct cache *cache, const struct digest *key);

#endif
