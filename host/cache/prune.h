/* Entries that go, those that were used least recently first: to keep limits, or all of them. */
#ifndef LAYERVM_CACHE_PRUNE_H
#define LAYERVM_CACHE_PRUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"
#include "cache/limits.h"
#include "cache/list.h"
#include "support/error.h"

enum cache_fate {
	CACHE_GONE, /* its name is taken away; who has it open keeps it */
	CACHE_BUSY, /* it is of CACHE_KEPT_KIND and locked, and stays */
};

/* Which entries may go, and which of them do. All zero: every one but those of CACHE_KEPT_KIND. */
struct cache_prune_options {
	const char *kind;           /* only this one, CACHE_KEPT_KIND too; NULL: all */
	bool kept_too;              /* of all kinds, CACHE_KEPT_KIND is one */
	bool has_limits;            /* entries go until what is left keeps the limits, no longer */
	struct cache_limits limits; /* max_size is that of the entries that may go */
	/* Called for each entry that goes or is busy; NULL: nobody is told. */
	void (*tell)(void *context, const struct cache_item *item, enum cache_fate fate);
	void *context;
};

/*
 * Removes entries, and of the kinds what killed processes left half-made. Two may run at once, and
 * builds beside them. Fails with ERROR_OUTPUT, and when interrupted.
 */
int cache_prune(
	const struct cache *cache, const struct cache_prune_options *options, struct error *err);

#endif
