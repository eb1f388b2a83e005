#include "commands/cache_show.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>
#include <time.h>

#include "cache/list.h"
#include "commands/size_text.h"
#include "spec/json_text.h"
#include "support/memory.h"

#define KEY_DIGITS 12 /* that are shown to people */

/* -- documents -------------------------------------------------------------------------------- */

static void put_document(FILE *out, json_object *document)
{
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(document, JSON_C_TO_STRING_PRETTY |
								 JSON_C_TO_STRING_SPACED |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
}

static json_object *new_document(const struct cache *cache)
{
	json_object *document = json_object_new_object();
	json_object_object_add(document, "folder", json_object_new_string(cache_path(cache)));
	return document;
}

static void add_number(json_object *object, const char *key, uint64_t number)
{
	json_object_object_add(object, key, json_object_new_uint64(number));
}

/* -- entries ---------------------------------------------------------------------------------- */

#define TIME_SIZE 40

/* A time in the user's zone, and as ISO 8601 in UTC; "unknown" where no calendar has it. */
static const char *local_time(const struct timespec *when, char text[static TIME_SIZE])
{
	struct tm tm;
	if (localtime_r(&when->tv_sec, &tm) == NULL ||
		strftime(text, TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(text, TIME_SIZE, "unknown");
	return text;
}

static const char *utc_time(const struct timespec *when, char text[static TIME_SIZE])
{
	struct tm tm;
	if (gmtime_r(&when->tv_sec, &tm) == NULL ||
		strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(text, TIME_SIZE, "unknown");
	return text;
}

static void put_entry(FILE *out, const struct cache_item *item)
{
	char key[DIGEST_TEXT_SIZE], when[TIME_SIZE];
	fprintf(out, "%-12s  %.*s  ", item->kind, KEY_DIGITS, digest_hex(&item->key, key));
	size_put(out, item->allocated);
	fprintf(out, "  %s\n", local_time(&item->used, when));
}

static json_object *entry_object(const struct cache_item *item)
{
	char key[DIGEST_TEXT_SIZE], when[TIME_SIZE];
	json_object *object = json_object_new_object();
	json_object_object_add(object, "kind", json_object_new_string(item->kind));
	json_object_object_add(object, "key", json_object_new_string(digest_hex(&item->key, key)));
	add_number(object, "size", item->size);
	add_number(object, "allocated", item->allocated);
	json_object_object_add(
		object, "lastUse", json_object_new_string(utc_time(&item->used, when)));
	return object;
}

int cache_show_entries(
	const struct cache *cache, enum cache_format format, FILE *out, struct error *err)
{
	cleanup_cache_list struct cache_list list = {0};
	int r = cache_list_read(cache, &list, err);
	if (r < 0)
		return r;
	cache_list_sort(&list);
	if (format == CACHE_TEXT) {
		fprintf(out, "%-12s  %-*s  %8s  %s\n", "KIND", KEY_DIGITS, "KEY", "ON DISK ",
			"LAST USE");
		for (size_t i = list.count; i > 0; i--)
			put_entry(out, &list.items[i - 1]);
		return 0;
	}
	cleanup_json json_object *document = new_document(cache);
	json_object *entries = json_object_new_array();
	json_object_object_add(document, "entries", entries);
	for (size_t i = list.count; i > 0; i--)
		json_object_array_add(entries, entry_object(&list.items[i - 1]));
	put_document(out, document);
	return 0;
}

/* -- kinds ------------------------------------------------------------------------------------ */

struct kind_sum {
	const char *kind;
	uint64_t entries;
	uint64_t size;
	uint64_t allocated;
};

static int by_kind(const void *a, const void *b)
{
	return strcmp(((const struct cache_item *)a)->kind, ((const struct cache_item *)b)->kind);
}

/* The numbers are those of file systems: a sum beyond 64 bits says so by being the largest. */
static uint64_t sum(uint64_t a, uint64_t b)
{
	return __builtin_add_overflow(a, b, &a) ? UINT64_MAX : a;
}

static void add_item(struct kind_sum *to, const struct cache_item *item)
{
	to->entries++;
	to->size = sum(to->size, item->size);
	to->allocated = sum(to->allocated, item->allocated);
}

/* A sum for each kind, by name, and one of all as the last. The caller frees it. */
static struct kind_sum *sum_kinds(struct cache_list *list, size_t *count)
{
	struct kind_sum *sums = NULL;
	struct kind_sum all = {.kind = "all"};
	size_t capacity = 0;
	*count = 0;
	if (list->count > 0)
		qsort(list->items, list->count, sizeof(*list->items), by_kind);
	for (size_t i = 0; i < list->count; i++) {
		const struct cache_item *item = &list->items[i];
		if (i == 0 || strcmp(item->kind, list->items[i - 1].kind) != 0) {
			sums = array_grow(sums, *count, &capacity, sizeof(*sums));
			sums[(*count)++] = (struct kind_sum){.kind = item->kind};
		}
		add_item(&sums[*count - 1], item);
		add_item(&all, item);
	}
	sums = array_grow(sums, *count, &capacity, sizeof(*sums));
	sums[*count] = all;
	return sums;
}

static void put_sum(FILE *out, const struct kind_sum *s)
{
	fprintf(out, "%-12s  %7" PRIu64 "  ", s->kind, s->entries);
	size_put(out, s->size);
	fputs("  ", out);
	size_put(out, s->allocated);
	fputc('\n', out);
}

static void put_limits(FILE *out, const struct cache *cache)
{
	const struct cache_limits *limits = cache_limits(cache);
	char max_size[SIZE_TEXT_SIZE], min_free[SIZE_TEXT_SIZE], now[SIZE_TEXT_SIZE];
	fprintf(out,
		"\nFolder: %s\nLimits: %s at most, but for " CACHE_KEPT_KIND
		"; %s left free, of %s now\n",
		cache_path(cache), size_text(limits->max_size, max_size),
		size_text(limits->min_free, min_free),
		size_text(cache_free_space(cache_fd(cache)), now));
}

static json_object *sum_object(const struct kind_sum *s)
{
	json_object *object = json_object_new_object();
	json_object_object_add(object, "kind", json_object_new_string(s->kind));
	add_number(object, "entries", s->entries);
	add_number(object, "size", s->size);
	add_number(object, "allocated", s->allocated);
	return object;
}

static void put_usage_document(
	FILE *out, const struct cache *cache, const struct kind_sum *sums, size_t count)
{
	cleanup_json json_object *document = new_document(cache);
	json_object *kinds = json_object_new_array();
	json_object *total = sum_object(&sums[count]);
	for (size_t i = 0; i < count; i++)
		json_object_array_add(kinds, sum_object(&sums[i]));
	json_object_object_del(total, "kind");
	json_object_object_add(document, "kinds", kinds);
	json_object_object_add(document, "total", total);
	add_number(document, "maxSize", cache_limits(cache)->max_size);
	add_number(document, "minFree", cache_limits(cache)->min_free);
	add_number(document, "free", cache_free_space(cache_fd(cache)));
	put_document(out, document);
}

int cache_show_usage(
	const struct cache *cache, enum cache_format format, FILE *out, struct error *err)
{
	cleanup_cache_list struct cache_list list = {0};
	size_t count;
	int r = cache_list_read(cache, &list, err);
	if (r < 0)
		return r;
	cleanup_free struct kind_sum *sums = sum_kinds(&list, &count);
	if (format == CACHE_JSON) {
		put_usage_document(out, cache, sums, count);
		return 0;
	}
	fprintf(out, "%-12s  %7s  %8s  %8s\n", "KIND", "ENTRIES", "SIZE ", "ON DISK ");
	for (size_t i = 0; i <= count; i++)
		put_sum(out, &sums[i]);
	put_limits(out, cache);
	return 0;
}
