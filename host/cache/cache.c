#include "cache/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/cache_folder.h"
#include "cache/list.h"
#include "cache/prune.h"
#include "cache/unfinished.h"
#include "cache/usage.h"
#include "support/identity.h"
#include "support/memory.h"

struct cache {
	char *path;
	int fd;
	struct cache_limits limits;
	/*
	 * Bytes that went to keep the limits and were not free afterwards, because somebody has
	 * them open. Behind a pointer: who makes entries, in two threads too, changes no cache.
	 */
	_Atomic uint64_t *awaited;
};

struct cache_entry {
	const struct cache *cache;
	char kind[CACHE_KIND_SIZE];
	int folder;
	int fd;
	char *name; /* NULL: the file has none */
};

int cache_open(struct cache **out, struct error *err)
{
	cleanup_cache struct cache *cache = xcalloc(1, sizeof(*cache));
	cache->fd = -1;
	cache->awaited = xcalloc(1, sizeof(*cache->awaited));
	cache->path = cache_folder_choose();
	if (cache->path == NULL)
		return error_set(err, ERROR_OUTPUT, ENOENT,
			"no cache folder: none of LAYERVM_CACHE_DIR, XDG_CACHE_HOME and HOME is "
			"set");
	cache->fd = cache_folder_open(cache->path, err);
	if (cache->fd < 0)
		return cache->fd;
	int r = cache_limits_find(cache->fd, &cache->limits, err);
	if (r < 0)
		return r;
	*out = steal_ptr(&cache);
	return 0;
}

void cache_free(struct cache *cache)
{
	if (cache == NULL)
		return;
	cleanup_close_fn(&cache->fd);
	free(cache->awaited);
	free(cache->path);
	free(cache);
}

const char *cache_path(const struct cache *cache)
{
	return cache->path;
}

int cache_fd(const struct cache *cache)
{
	return cache->fd;
}

const struct cache_limits *cache_limits(const struct cache *cache)
{
	return &cache->limits;
}

/* -- entries ---------------------------------------------------------------------------------- */

static int not_a_file(
	const struct cache *cache, const char *kind, const char *name, struct error *err)
{
	return error_set(err, ERROR_OUTPUT, EINVAL,
		"cache folder %s: %s/%s is no regular file; remove it", cache->path, kind, name);
}

/* Opens what has a name in the folder of a kind, and waits for nothing: it may be a FIFO. */
static int open_name(const struct cache *cache, int folder, const char *kind, const char *name,
	int flags, struct error *err)
{
	struct stat st;
	cleanup_close int fd = openat(folder, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO))
		return not_a_file(cache, kind, name, err);
	if (fd < 0 || fstat(fd, &st) < 0 || fcntl(fd, F_SETFL, flags) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "cache folder %s: cannot open %s/%s",
			cache->path, kind, name);
	return S_ISREG(st.st_mode) ? steal_fd(&fd) : not_a_file(cache, kind, name, err);
}

int cache_peek(const struct cache *cache, const char *kind, const struct digest *key, int flags,
	int *fd, struct error *err)
{
	char name[DIGEST_TEXT_SIZE];
	cleanup_close int folder = cache_folder_open_kind(cache->fd, cache->path, kind, err);
	digest_hex(key, name);
	int found = folder < 0 ? folder : open_name(cache, folder, kind, name, flags, err);
	if (found < 0)
		return found == -ENOENT ? 0 : found;
	*fd = found;
	return 1;
}

int cache_find(const struct cache *cache, const char *kind, const struct digest *key, int flags,
	int *fd, struct error *err)
{
	int r = cache_peek(cache, kind, key, flags, fd, err);
	/* The time of the last use, for who prunes; that it cannot be set harms nothing. */
	if (r > 0)
		(void)futimens(*fd, NULL);
	return r;
}

/* -- limits ----------------------------------------------------------------------------------- */

/*
 * What is to be free now. The space that is awaited counts as free, but for no more than half of
 * what others are left: who has it open may have it for long.
 */
static uint64_t wanted_free(const struct cache *cache)
{
	uint64_t min_free = cache->limits.min_free;
	uint64_t awaited = atomic_load(cache->awaited);
	return min_free - (awaited < min_free / 2 ? awaited : min_free / 2);
}

/* Where enough is free, nothing is awaited any more: what comes next counts from there. */
static bool is_short_of_space(const struct cache *cache)
{
	uint64_t free_space = cache_free_space(cache->fd);
	if (free_space >= cache->limits.min_free)
		atomic_store(cache->awaited, 0);
	return free_space < wanted_free(cache);
}

static void add_removed(void *context, const struct cache_item *item, enum cache_fate fate)
{
	uint64_t *removed = context;
	if (fate == CACHE_GONE && __builtin_add_overflow(*removed, item->allocated, removed))
		*removed = UINT64_MAX;
}

/* Keeps the limits. That it does not work is no fault of the entry that is made or was made. */
static void keep_limits(const struct cache *cache)
{
	uint64_t removed = 0;
	const struct cache_prune_options options = {
		.has_limits = true,
		.limits = {.max_size = cache->limits.max_size, .min_free = wanted_free(cache)},
		.tell = add_removed,
		.context = &removed,
	};
	struct error ignored;
	uint64_t before = cache_free_space(cache->fd);
	(void)cache_prune(cache, &options, &ignored);
	uint64_t now = cache_free_space(cache->fd);
	uint64_t freed = now > before ? now - before : 0;
	if (removed > freed)
		atomic_fetch_add(cache->awaited, removed - freed);
}

static unsigned long long whole_mebibytes(uint64_t bytes)
{
	return bytes >> 20;
}

static int no_room(const struct cache *cache, struct error *err)
{
	const struct cache_limits *limits = &cache->limits;
	return error_set(err, ERROR_OUTPUT, ENOSPC,
		"nothing is added to %s: its file system has %llu MiB free, and %llu are left to "
		"others (LAYERVM_CACHE_MIN_FREE); all entries may take %llu MiB "
		"(LAYERVM_CACHE_MAX_SIZE)",
		cache->path, whole_mebibytes(cache_free_space(cache->fd)),
		whole_mebibytes(limits->min_free), whole_mebibytes(limits->max_size));
}

/* What is made anew at any time does not take the last of the space from what is not. */
static int make_room(const struct cache *cache, const char *kind, struct error *err)
{
	if (!is_short_of_space(cache))
		return 0;
	keep_limits(cache);
	if (strcmp(kind, CACHE_KEPT_KIND) == 0 || !is_short_of_space(cache))
		return 0;
	return no_room(cache, err);
}

/* Half of all: two that are used in turn do not drive one another out. */
bool cache_would_keep(const struct cache *cache, uint64_t bytes)
{
	return bytes <= cache->limits.max_size / 2;
}

static int check_size(const struct cache_entry *entry, uint64_t bytes, struct error *err)
{
	const struct cache *cache = entry->cache;
	if (strcmp(entry->kind, CACHE_KEPT_KIND) == 0 || cache_would_keep(cache, bytes))
		return 0;
	return error_set(err, ERROR_OUTPUT, EDQUOT,
		"%s keeps no entry of %llu KiB: it is more than half of the %llu MiB that all of "
		"them may take (LAYERVM_CACHE_MAX_SIZE)",
		cache->path, (unsigned long long)(bytes >> 10),
		whole_mebibytes(cache->limits.max_size));
}

/* -- new entries ------------------------------------------------------------------------------ */

int cache_start(
	const struct cache *cache, const char *kind, struct cache_entry **out, struct error *err)
{
	cleanup_cache_entry struct cache_entry *entry = xcalloc(1, sizeof(*entry));
	entry->cache = cache;
	snprintf(entry->kind, sizeof(entry->kind), "%s", kind);
	entry->folder = -1;
	entry->fd = -1;
	int r = make_room(cache, kind, err);
	if (r < 0)
		return r;
	entry->folder = cache_folder_make_kind(cache->fd, cache->path, kind, err);
	if (entry->folder < 0)
		return entry->folder;
	int fd = openat(entry->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT))
		fd = unfinished_make(entry->folder, &entry->name, err);
	else if (fd < 0)
		fd = error_set_errno(err, ERROR_OUTPUT, "cannot make a file of the cache");
	if (fd < 0)
		return error_wrap(err, fd, "cache folder %s: %s", cache->path, kind);
	entry->fd = fd;
	*out = steal_ptr(&entry);
	return 0;
}

int cache_entry_fd(const struct cache_entry *entry)
{
	return entry->fd;
}

/* A file system without hard links takes a rename, where the last of two makers wins. */
static int give_name(struct cache_entry *entry, const char *name)
{
	char path[64];
	if (entry->name == NULL) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", entry->fd);
		return linkat(AT_FDCWD, path, entry->folder, name, AT_SYMLINK_FOLLOW);
	}
	int r = linkat(entry->folder, entry->name, entry->folder, name, 0);
	if (r == 0 || (errno != EPERM && errno != EOPNOTSUPP))
		return r;
	return renameat(entry->folder, entry->name, entry->folder, name);
}

/*
 * Counts an entry that has its name now; from time to time that has all of them counted. With the
 * others this one may go, where the file system has too little for any.
 */
static int account(const struct cache_entry *entry, const struct digest *key, uint64_t bytes,
	struct error *err)
{
	const struct cache *cache = entry->cache;
	if (!is_short_of_space(cache) && !usage_add(cache->fd, bytes, cache->limits.max_size))
		return 0;
	keep_limits(cache);
	return cache_is_current(cache, entry->kind, key, entry->fd) ? 0 : no_room(cache, err);
}

int cache_publish(struct cache_entry *entry, const struct digest *key, struct error *err)
{
	char name[DIGEST_TEXT_SIZE];
	struct stat st;
	digest_hex(key, name);
	if (fstat(entry->fd, &st) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "cannot look at a file of the cache");
	uint64_t bytes = file_allocated(&st);
	int r = check_size(entry, bytes, err);
	if (r < 0)
		return r;
	(void)futimens(entry->fd, NULL);
	if (give_name(entry, name) == 0)
		return account(entry, key, bytes, err);
	if (errno == EEXIST)
		return 0;
	return error_set_errno(err, ERROR_OUTPUT, "cannot give a file of the cache its name");
}

int cache_mark(
	const struct cache *cache, const char *kind, const struct digest *key, struct error *err)
{
	char name[DIGEST_TEXT_SIZE];
	cleanup_close int folder = cache_folder_make_kind(cache->fd, cache->path, kind, err);
	if (folder < 0)
		return folder;
	digest_hex(key, name);
	cleanup_close int fd = openat(
		folder, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, ERROR_OUTPUT, "cache folder %s: cannot make %s/%s",
			cache->path, kind, name);
	(void)futimens(fd, NULL);
	return 0;
}

void cache_entry_free(struct cache_entry *entry)
{
	if (entry == NULL)
		return;
	if (entry->name != NULL)
		unlinkat(entry->folder, entry->name, 0);
	cleanup_close_fn(&entry->fd);
	cleanup_close_fn(&entry->folder);
	free(entry->name);
	free(entry);
}

/* -- names ------------------------------------------------------------------------------------ */

int cache_remove(
	const struct cache *cache, const char *kind, const struct digest *key, struct error *err)
{
	char name[DIGEST_TEXT_SIZE];
	cleanup_close int folder = cache_folder_open_kind(cache->fd, cache->path, kind, err);
	if (folder < 0)
		return folder == -ENOENT ? 0 : folder;
	digest_hex(key, name);
	if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
		return error_set_errno(err, ERROR_OUTPUT, "cache folder %s: cannot remove %s/%s",
			cache->path, kind, name);
	return 0;
}

bool cache_is_current(const struct cache *cache, const char *kind, const struct digest *key, int fd)
{
	char name[DIGEST_TEXT_SIZE];
	struct stat open_file, named;
	struct error ignored;
	cleanup_close int folder = cache_folder_open_kind(cache->fd, cache->path, kind, &ignored);
	digest_hex(key, name);
	return folder >= 0 && fstat(fd, &open_file) == 0 &&
	       fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

int cache_trim(const struct cache *cache, const char *kind, size_t count, struct error *err)
{
	cleanup_cache_list struct cache_list list = {0};
	int r = cache_list_read_kind(cache, kind, &list, err);
	cache_list_sort(&list);
	for (size_t i = 0; r == 0 && i + count < list.count; i++)
		r = cache_remove(cache, kind, &list.items[i].key, err);
	return r;
}
