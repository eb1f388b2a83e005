#include "commands/cache_verify.h"

#include <fcntl.h>
#include <string.h>

#include "cache/list.h"
#include "commands/cache_kinds.h"
#include "support/interrupt.h"
#include "support/memory.h"

struct counts {
	size_t whole;
	size_t damaged;
	size_t unknown; /* nothing says what they should hold */
};

static int verify_entry(const struct cache *cache, const struct cache_item *item,
	const struct cache_kind *kind, struct report *report, struct counts *counts,
	struct error *err)
{
	char key[DIGEST_TEXT_SIZE];
	cleanup_close int fd = -1;
	int r = cache_peek(cache, item->kind, &item->key, O_RDONLY, &fd, err);
	if (r <= 0)
		return r;
	r = kind->verify(fd, &item->key, err);
	if (r == 0) {
		counts->whole++;
		return 0;
	}
	if (err->kind != ERROR_INPUT)
		return r;
	counts->damaged++;
	report_warning(report, "%s %s: is removed: %s", item->kind, digest_hex(&item->key, key),
		err->message);
	return cache_remove(cache, item->kind, &item->key, err);
}

/* Says once of each kind that its entries carry no digest. */
static void tell_unverified(
	const char *name, const struct cache_kind *kind, bool is_first, struct report *report)
{
	if (!is_first)
		return;
	if (kind == NULL)
		report_note(report, "%s: is not verified: another layervm made it", name);
	else
		report_note(report, "%s: is not verified: %s", name, kind->why);
}

static void tell_stranger(const struct cache_stranger *stranger, struct report *report)
{
	switch (stranger->type) {
	case CACHE_STRANGER_FOLDER:
		report_note(
			report, "%s: is none of the cache's folders; left alone", stranger->path);
		return;
	case CACHE_STRANGER_NAME:
		report_note(report, "%s: has a name that is no key; left alone", stranger->path);
		return;
	case CACHE_STRANGER_FILE:
		report_note(report, "%s: is no regular file; left alone", stranger->path);
		return;
	case CACHE_STRANGER_UNFINISHED:
		report_note(report,
			"%s: is being made, or its maker was killed; layervm cache prune removes "
			"it then",
			stranger->path);
		return;
	}
}

/* The entries of a kind come one after the other in the list, but for what has come meanwhile. */
static int verify_all(const struct cache *cache, const struct cache_list *list,
	struct report *report, struct counts *counts, struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct cache_item *item = &list->items[i];
		const struct cache_kind *kind = cache_kind_find(item->kind);
		bool is_first = i == 0 || strcmp(list->items[i - 1].kind, item->kind) != 0;
		int r = interrupt_check(err);
		if (r == 0 && kind != NULL && kind->verify != NULL) {
			r = verify_entry(cache, item, kind, report, counts, err);
		} else if (r == 0) {
			tell_unverified(item->kind, kind, is_first, report);
			counts->unknown++;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int cache_verify(const struct cache *cache, struct report *report, struct error *err)
{
	cleanup_cache_list struct cache_list list = {0};
	struct counts counts = {0};
	int r = cache_list_read(cache, &list, err);
	if (r < 0)
		return r;
	report_stage(report, "verify", "%zu entries in %s", list.count, cache_path(cache));
	r = verify_all(cache, &list, report, &counts, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.stranger_count; i++)
		tell_stranger(&list.strangers[i], report);
	report_done(report);
	report_note(report, "%zu whole, %zu damaged and removed, %zu not verified", counts.whole,
		counts.damaged, counts.unknown);
	return 0;
}
