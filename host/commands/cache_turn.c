#include "commands/cache_turn.h"

int cache_turn_take(const struct cache *cache, const struct cache_turn *turn, struct report *report,
	struct cache_claim *claim, struct error *err)
{
	if (cache_claim_take(cache, turn->kind, &turn->key, claim))
		return 0;
	report_stage(report, "wait", "another run makes %s; for %u s at most", turn->what,
		turn->patience);
	int r = cache_claim_wait(claim, turn->patience, err);
	report_done(report);
	if (r < 0 && err->kind == ERROR_INTERRUPTED)
		return r;
	/* That it cannot be waited for is no reason not to make it. */
	if (r < 0)
		report_note(report,
			"cache: another run makes %s, and cannot be waited for: %s; here it is "
			"made as well",
			turn->what, err->message);
	else if (r == 0)
		report_note(report, "cache: another run still makes %s; here it is made as well",
			turn->what);
	return 0;
}
