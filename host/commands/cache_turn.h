/* Runs that want the same entry of the cache at once: one makes it, the others wait, with a word.
 */
#ifndef LAYERVM_COMMANDS_CACHE_TURN_H
#define LAYERVM_COMMANDS_CACHE_TURN_H

#include "cache/claim.h"
#include "support/error.h"
#include "support/report.h"

/* An entry that is missing. */
struct cache_turn {
	const char *kind;
	struct digest key;
	const char *what; /* for the report, such as "the base's disk" */
	/* Seconds that making it may take: longer than this another run is not waited for. */
	unsigned patience;
};

/*
 * Claims the making of the entry. Where another run makes it, waits for that one's end, as long as
 * patience says, with a stage in the report, and a note where that was in vain. The entry is to be
 * looked for again in any case: somebody may have made it since it was found missing. Fails when
 * interrupted only. claim: as for cache_claim_take; it is the caller's to release once the entry is
 * there.
 */
int cache_turn_take(const struct cache *cache, const struct cache_turn *turn, struct report *report,
	struct cache_claim *claim, struct error *err);

#endif
