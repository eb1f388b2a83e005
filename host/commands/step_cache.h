/*
 * Layers of scripts that ran to their end, in the user's cache: under the key of the step
 * (step_key.h) a small record, which names the layer; under its diff ID the layer, once however
 * many steps gave it.
 */
#ifndef LAYERVM_COMMANDS_STEP_CACHE_H
#define LAYERVM_COMMANDS_STEP_CACHE_H

#include "cache/cache.h"
#include "layer/layer.h"
#include "support/digest.h"
#include "support/error.h"
#include "support/report.h"
#include "tree/changes.h"

#define STEP_KIND_RECORD "step"
#define STEP_KIND_LAYER "layer"

/* What is known of a layer besides its bytes. */
struct step_result {
	struct layer_info layer;
	struct changes changes;
};

/*
 * Looks a step up. Returns 1 with *result and *layer, a descriptor of the uncompressed tar from its
 * first byte on, for reading, that is the caller's; all of it was read and has its digest. 0 where
 * there is none; or an error of the cache folder, or an interrupt. What is damaged is removed,
 * with a note, and is none.
 */
int step_cache_find(const struct cache *cache, const struct digest *key, struct report *report,
	struct step_result *result, int *layer, struct error *err);

/*
 * Keeps a layer. layer: its file; stays the caller's. Where somebody else has kept one for the same
 * key meanwhile, theirs stays. Errors are those of the cache folder, and an interrupt.
 */
int step_cache_put(const struct cache *cache, const struct digest *key,
	const struct step_result *result, int layer, struct error *err);

/* Whether an entry of STEP_KIND_RECORD is as it was written; an ERROR_INPUT where not. */
int step_cache_check(int fd, const struct digest *key, struct error *err);

#endif
