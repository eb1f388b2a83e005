#include "commands/step_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define CHUNK (1u << 20)
#define RECORD_NAME "a step in the cache"
#define LAYER_NAME "a layer in the cache"

/* The file of a record, in the byte order of this machine, which alone reads it. */
struct record {
	struct digest layer; /* its diff ID */
	uint64_t size;
	uint64_t entries;
	uint64_t written;
	uint64_t whiteouts;
	struct digest sum; /* of the key and all of the above */
};
_Static_assert(sizeof(struct record) == 96, "no bytes between the fields");

static struct digest record_sum(const struct digest *key, const struct record *record)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	hasher_add(hasher, key->bytes, sizeof(key->bytes));
	hasher_add(hasher, record, offsetof(struct record, sum));
	return hasher_finish(hasher);
}

static int read_record(int fd, const struct digest *key, struct record *record, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, RECORD_NAME ": cannot be looked at");
	if (st.st_size != (off_t)sizeof(*record))
		return error_set(err, ERROR_INPUT, EINVAL,
			RECORD_NAME ": has %lld bytes, expected %zu", (long long)st.st_size,
			sizeof(*record));
	int r = file_read_at(fd, record, sizeof(*record), 0, RECORD_NAME, err);
	if (r < 0)
		return r;
	struct digest sum = record_sum(key, record);
	return digest_expect(&record->sum, &sum, RECORD_NAME, "digest", err);
}

int step_cache_check(int fd, const struct digest *key, struct error *err)
{
	struct record record = {0};
	return read_record(fd, key, &record, err);
}

/* An ERROR_INPUT where the file is not the layer that the record names; or an interrupt. */
static int check_layer(int fd, const struct record *record, struct error *err)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	cleanup_free uint8_t *chunk = xmalloc(CHUNK);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, LAYER_NAME ": cannot be looked at");
	if ((uint64_t)st.st_size != record->size)
		return error_set(err, ERROR_INPUT, EINVAL,
			LAYER_NAME ": has %lld bytes, expected %llu", (long long)st.st_size,
			(unsigned long long)record->size);
	for (uint64_t at = 0; at < record->size;) {
		uint64_t left = record->size - at;
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		int r = interrupt_check(err);
		if (r == 0)
			r = file_read_at(fd, chunk, n, at, LAYER_NAME, err);
		if (r < 0)
			return r;
		hasher_add(hasher, chunk, n);
		at += n;
	}
	struct digest found = hasher_finish(hasher);
	return digest_expect(&record->layer, &found, LAYER_NAME, "digest", err);
}

/* Takes away what err says is damaged: the record, and the layer where it is that (or NULL). */
static int drop(const struct cache *cache, const struct digest *key, const struct digest *layer,
	struct report *report, struct error *err)
{
	report_note(
		report, "cache: a finished step is damaged, and is run again: %s", err->message);
	int r = cache_remove(cache, STEP_KIND_RECORD, key, err);
	return r < 0 || layer == NULL ? r : cache_remove(cache, STEP_KIND_LAYER, layer, err);
}

int step_cache_find(const struct cache *cache, const struct digest *key, struct report *report,
	struct step_result *result, int *layer, struct error *err)
{
	struct record record = {0};
	cleanup_close int fd = -1;
	cleanup_close int layer_fd = -1;
	int r = cache_find(cache, STEP_KIND_RECORD, key, O_RDONLY, &fd, err);
	if (r <= 0)
		return r;
	if (read_record(fd, key, &record, err) < 0)
		return drop(cache, key, NULL, report, err);
	r = cache_find(cache, STEP_KIND_LAYER, &record.layer, O_RDONLY, &layer_fd, err);
	if (r < 0)
		return r;
	/* A layer that had to give way to others leaves a record that is of no use. */
	if (r == 0)
		return cache_remove(cache, STEP_KIND_RECORD, key, err);
	r = check_layer(layer_fd, &record, err);
	if (r < 0 && err->kind != ERROR_INTERRUPTED)
		return drop(cache, key, &record.layer, report, err);
	if (r < 0)
		return r;
	*result = (struct step_result){
		.layer = {.diff_id = record.layer, .size = record.size, .entries = record.entries},
		.changes = {.written = record.written, .whiteouts = record.whiteouts},
	};
	*layer = steal_fd(&layer_fd);
	return 1;
}

static int put_layer(
	const struct cache *cache, const struct layer_info *info, int layer, struct error *err)
{
	cleanup_cache_entry struct cache_entry *entry = NULL;
	int r = cache_start(cache, STEP_KIND_LAYER, &entry, err);
	if (r == 0)
		r = file_copy_range(
			layer, 0, cache_entry_fd(entry), 0, info->size, LAYER_NAME, err);
	if (r == 0)
		r = interrupt_check(err);
	return r < 0 ? r : cache_publish(entry, &info->diff_id, err);
}

static int put_record(const struct cache *cache, const struct digest *key,
	const struct step_result *result, struct error *err)
{
	cleanup_cache_entry struct cache_entry *entry = NULL;
	struct record record = {
		.layer = result->layer.diff_id,
		.size = result->layer.size,
		.entries = result->layer.entries,
		.written = result->changes.written,
		.whiteouts = result->changes.whiteouts,
	};
	record.sum = record_sum(key, &record);
	int r = cache_start(cache, STEP_KIND_RECORD, &entry, err);
	if (r == 0)
		r = file_write_at(
			cache_entry_fd(entry), &record, sizeof(record), 0, RECORD_NAME, err);
	return r < 0 ? r : cache_publish(entry, key, err);
}

int step_cache_put(const struct cache *cache, const struct digest *key,
	const struct step_result *result, int layer, struct error *err)
{
	int r = put_layer(cache, &result->layer, layer, err);
	return r < 0 ? r : put_record(cache, key, result, err);
}
