/* What is wrong with the cache, which only saves time: told in a line, and no failure. */
#ifndef LAYERVM_COMMANDS_CACHE_NOTE_H
#define LAYERVM_COMMANDS_CACHE_NOTE_H

#include <stdbool.h>

#include "cache/cache.h"
#include "support/error.h"
#include "support/report.h"

/*
 * Whether the failure r is worth a line: that the cache's file system is full is, once a run,
 * however many entries it keeps out.
 */
bool cache_note_is_news(struct report *report, int r);

/*
 * Opens the user's cache. Where there is none *cache is NULL, which one line tells, once a run.
 * *cache is the caller's to free.
 */
void cache_note_open(struct report *report, struct cache **cache);

/*
 * r, err: what a function of the cache gave. Returns r where that is no error, or an interrupt;
 * else 0, after a line where that is news.
 */
int cache_note(struct report *report, int r, struct error *err);

#endif
