/*
 * The step of a build that runs a script: taken from the cache where it was run before, and put
 * there after it was. Whatever is wrong with the cache is told in a line, and the script is run.
 */
#ifndef LAYERVM_COMMANDS_BUILD_STEP_H
#define LAYERVM_COMMANDS_BUILD_STEP_H

#include <stdbool.h>

#include "cache/cache.h"
#include "commands/build.h"
#include "commands/build_options.h"
#include "image/image.h"
#include "support/digest.h"
#include "support/error.h"

/* All zero but options: a step that is in no cache. */
struct build_step {
	const struct build_options *options;
	const struct image *base;  /* its layers' diff IDs must stand, verified or not */
	const struct cache *cache; /* NULL: none is used */
	bool has_key;              /* it may be kept */
	struct digest key;
};

/*
 * Looks the step up. Where it is found result->cached is set, with layer and changes, and *layer,
 * which is the caller's. Fails when interrupted only.
 */
int build_step_find(
	struct build_step *step, struct build_result *result, int *layer, struct error *err);

/*
 * Keeps the layer of a step that was not found and has run, on a base that is verified; nothing
 * where what it was made of has changed meanwhile. Fails when interrupted only.
 */
int build_step_keep(const struct build_step *step, const struct build_result *result, int layer,
	struct error *err);

#endif
