/* What is in the cache, for people and for programs. */
#ifndef LAYERVM_COMMANDS_CACHE_SHOW_H
#define LAYERVM_COMMANDS_CACHE_SHOW_H

#include <stdio.h>

#include "cache/cache.h"
#include "commands/cache_options.h"
#include "support/error.h"

/* `layervm cache ls`: the entries, as a table or as a document of layervm-cache(1). */
int cache_show_entries(
	const struct cache *cache, enum cache_format format, FILE *out, struct error *err);

/* `layervm cache du`: what the kinds take, likewise. */
int cache_show_usage(
	const struct cache *cache, enum cache_format format, FILE *out, struct error *err);

#endif
