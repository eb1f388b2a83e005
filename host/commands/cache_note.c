#include "commands/cache_note.h"

#include <errno.h>

bool cache_note_is_news(struct report *report, int r)
{
	bool is_full = r == -ENOSPC || r == -EDQUOT;
	return !is_full || report_is_news(report, "the cache is full");
}

void cache_note_open(struct report *report, struct cache **cache)
{
	struct error err;
	if (cache_open(cache, &err) == 0)
		return;
	*cache = NULL;
	if (report_is_news(report, "there is no cache"))
		report_note(report, "nothing is cached: %s", err.message);
}

int cache_note(struct report *report, int r, struct error *err)
{
	if (r >= 0 || err->kind == ERROR_INTERRUPTED)
		return r;
	if (cache_note_is_news(report, r))
		report_note(report, "cache: %s", err->message);
	return 0;
}
