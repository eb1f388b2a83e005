/*
 * Who makes an entry that several want at once: one of them claims it, the others wait until it is
 * there. A claim ends with the process that has it, however that ends. It is advice: an entry that
 * is made twice is the same twice.
 */
#ifndef LAYERVM_CACHE_CLAIM_H
#define LAYERVM_CACHE_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"
#include "support/digest.h"
#include "support/error.h"

/* The file in the cache folder whose bytes are locked, one for each claim. It holds nothing. */
#define CACHE_CLAIMS_NAME ".claims"

/* CACHE_CLAIM_NONE claims nothing. */
struct cache_claim {
	int fd; /* -1: none, or there are no locks here */
	int64_t byte;
};
#define CACHE_CLAIM_NONE ((struct cache_claim){.fd = -1})

/*
 * Claims the making of an entry. Returns whether nobody else has done so. Where the cache folder
 * takes no locks, nobody has. *claim: released by cache_claim_release in either case. The entry is
 * to be looked for once more then: somebody may have made it, and released it, since it was found
 * missing.
 */
bool cache_claim_take(const struct cache *cache, const char *kind, const struct digest *key,
	struct cache_claim *claim);

/*
 * Waits for a claim that somebody else has: for seconds at most, 0 being no limit. Returns 1 where
 * it is the caller's now, and 0 where the time is over; an interrupt (interrupt.h) ends it. The
 * entry is to be looked for again in any case: most often it is there.
 */
int cache_claim_wait(struct cache_claim *claim, unsigned seconds, struct error *err);

/* More calls do nothing. */
void cache_claim_release(struct cache_claim *claim);
#define cleanup_cache_claim __attribute__((cleanup(cache_claim_release)))

#endif
