/* `layervm cache verify`: all entries read, those that are damaged removed, the rest told of. */
#ifndef LAYERVM_COMMANDS_CACHE_VERIFY_H
#define LAYERVM_COMMANDS_CACHE_VERIFY_H

#include "cache/cache.h"
#include "support/error.h"
#include "support/report.h"

/* A damaged entry is a warning; fails with the errors of the cache folder, and when interrupted. */
int cache_verify(const struct cache *cache, struct report *report, struct error *err);

#endif
