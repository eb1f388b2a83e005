/* `layervm cache warm`: what the first build with the same settings would make for later ones. */
#ifndef LAYERVM_COMMANDS_CACHE_WARM_H
#define LAYERVM_COMMANDS_CACHE_WARM_H

#include "cache/cache.h"
#include "commands/cache_options.h"
#include "support/error.h"

/* Makes the saved guest, and with options->from the base's disk, where they are not there yet. */
int cache_warm(const struct cache *cache, const struct cache_options *options, struct error *err);

#endif
