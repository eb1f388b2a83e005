/*
 * What is in the cache folder: the entries of all kinds, and what is no entry. Symlinks are not
 * followed, and nothing but the folders of the kinds is opened.
 */
#ifndef LAYERVM_CACHE_LIST_H
#define LAYERVM_CACHE_LIST_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "cache/cache.h"
#include "cache/cache_folder.h"
#include "support/digest.h"
#include "support/error.h"

struct cache_item {
	char kind[CACHE_KIND_SIZE];
	struct digest key;
	uint64_t size;        /* bytes, as it is read */
	uint64_t allocated;   /* bytes that it takes of the file system */
	struct timespec used; /* when it was found or published last */
};

enum cache_stranger_type {
	CACHE_STRANGER_FOLDER,     /* in the cache folder, and the folder of no kind */
	CACHE_STRANGER_NAME,       /* its name is no key */
	CACHE_STRANGER_FILE,       /* it has the name of an entry and is no regular file */
	CACHE_STRANGER_UNFINISHED, /* an entry that is being made, or whose maker was killed */
};

struct cache_stranger {
	enum cache_stranger_type type;
	char *path; /* in the cache folder; holds any bytes */
};

/* All zero is an empty list. */
struct cache_list {
	struct cache_item *items; /* in no order */
	size_t count;
	size_t capacity;
	struct cache_stranger *strangers;
	size_t stranger_count;
	size_t stranger_capacity;
};

/* Whether name can be that of a kind: lowercase letters with '-' between them. */
bool cache_is_kind_name(const char *name);

/*
 * Reads all kinds, or the one of a name; a kind without a folder has no entries. What comes and
 * goes meanwhile may be there or not. Fails with ERROR_OUTPUT; the list is the caller's to free in
 * any case.
 */
int cache_list_read(const struct cache *cache, struct cache_list *list, struct error *err);
int cache_list_read_kind(
	const struct cache *cache, const char *kind, struct cache_list *list, struct error *err);

/* Sorts the items: those that were used last come last. */
void cache_list_sort(struct cache_list *list);

void cache_list_free(struct cache_list *list);
#define cleanup_cache_list __attribute__((cleanup(cache_list_free)))

#endif
