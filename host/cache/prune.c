#include "cache/prune.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/unfinished.h"
#include "cache/usage.h"
#include "support/interrupt.h"
#include "support/memory.h"

static bool may_go(const struct cache_prune_options *options, const struct cache_item *item)
{
	return options->kind != NULL || options->kept_too ||
	       strcmp(item->kind, CACHE_KEPT_KIND) != 0;
}

static int read_list(const struct cache *cache, const struct cache_prune_options *options,
	struct cache_list *list, struct error *err)
{
	int r = options->kind != NULL ? cache_list_read_kind(cache, options->kind, list, err)
				      : cache_list_read(cache, list, err);
	if (r < 0)
		return r;
	size_t count = 0;
	for (size_t i = 0; i < list->count; i++) {
		if (may_go(options, &list->items[i]))
			list->items[count++] = list->items[i];
	}
	list->count = count;
	cache_list_sort(list);
	return 0;
}

/* An entry that is written to goes only while nobody has its lock. */
static int remove_kept(const struct cache *cache, const struct cache_item *item,
	enum cache_fate *fate, struct error *err)
{
	cleanup_close int fd = -1;
	int r = cache_peek(cache, item->kind, &item->key, O_RDWR, &fd, err);
	if (r > 0)
		r = cache_try_lock(fd, err);
	else if (r == 0)
		return 0; /* somebody else has removed it */
	if (r < 0)
		return r;
	*fate = r > 0 ? CACHE_GONE : CACHE_BUSY;
	/* With the lock comes the right to the name, if it is still this file's. */
	if (r == 0 || !cache_is_current(cache, item->kind, &item->key, fd))
		return 0;
	return cache_remove(cache, item->kind, &item->key, err);
}

static int remove_item(const struct cache *cache, const struct cache_item *item,
	enum cache_fate *fate, struct error *err)
{
	*fate = CACHE_GONE;
	if (strcmp(item->kind, CACHE_KEPT_KIND) == 0)
		return remove_kept(cache, item, fate, err);
	return cache_remove(cache, item->kind, &item->key, err);
}

static uint64_t all_allocated(const struct cache_list *list)
{
	uint64_t all = 0;
	for (size_t i = 0; i < list->count; i++) {
		if (__builtin_add_overflow(all, list->items[i].allocated, &all))
			return UINT64_MAX;
	}
	return all;
}

static uint64_t less_by(uint64_t from, uint64_t amount)
{
	return from > amount ? from - amount : 0;
}

/*
 * How much must go. What is removed is counted as free at once: file systems give space back
 * later, and it would be wrong to remove more and more meanwhile.
 */
static uint64_t excess(const struct cache *cache, const struct cache_limits *limits, uint64_t all)
{
	uint64_t over = less_by(all, limits->max_size);
	uint64_t missing = less_by(limits->min_free, cache_free_space(cache_fd(cache)));
	return over > missing ? over : missing;
}

static int remove_items(const struct cache *cache, const struct cache_prune_options *options,
	const struct cache_list *list, uint64_t *left, struct error *err)
{
	uint64_t too_much = options->has_limits ? excess(cache, &options->limits, *left) : 0;
	for (size_t i = 0; i < list->count && (too_much > 0 || !options->has_limits); i++) {
		const struct cache_item *item = &list->items[i];
		enum cache_fate fate = CACHE_BUSY;
		int r = interrupt_check(err);
		if (r == 0)
			r = remove_item(cache, item, &fate, err);
		if (r < 0)
			return r;
		if (options->tell != NULL)
			options->tell(options->context, item, fate);
		if (fate == CACHE_BUSY)
			continue;
		too_much = less_by(too_much, item->allocated);
		*left = less_by(*left, item->allocated);
	}
	return 0;
}

static void remove_unfinished(const struct cache *cache, const struct cache_list *list)
{
	for (size_t i = 0; i < list->stranger_count; i++) {
		const struct cache_stranger *stranger = &list->strangers[i];
		const char *name = strchr(stranger->path, '/');
		struct error ignored;
		if (stranger->type != CACHE_STRANGER_UNFINISHED || name == NULL)
			continue;
		cleanup_free char *kind = xstrndup(stranger->path, (size_t)(name - stranger->path));
		cleanup_close int folder =
			cache_folder_open_kind(cache_fd(cache), cache_path(cache), kind, &ignored);
		if (folder >= 0)
			unfinished_remove(folder, name + 1);
	}
}

int cache_prune(
	const struct cache *cache, const struct cache_prune_options *options, struct error *err)
{
	cleanup_cache_list struct cache_list list = {0};
	int r = read_list(cache, options, &list, err);
	if (r < 0)
		return r;
	uint64_t left = all_allocated(&list);
	remove_unfinished(cache, &list);
	r = remove_items(cache, options, &list, &left, err);
	if (r == 0 && options->kind == NULL && !options->kept_too)
		usage_set(cache_fd(cache), left);
	return r;
}
