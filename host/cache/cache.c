#include "cache/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/cache_folder.h"
#include "cache/list.h"
#include "cache/prune.h"
#include "cache/unfinished.h"
#include "cache/usage.h"
#include "support/memory.h"

#define ST_BLOCK 512 /* of st_blocks, inode(7) */

struct cache {
	char *path;
	int fd;
	struct cache_limits limits;
};

struct cache_entry {
	const struct cache *cache;
	int folder;
	int fd;
	char *name; /* NULL: the file has none */
};

int cache_open(struct cache **out, struct error *err)
{
	cleanup_cache struct cache *cache = xcalloc(1, sizeof(*cache));
	cache->fd = -1;
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

/* Keeps the limits. That it does not work is no fault of the entry that is made or was made. */
static void keep_limits(const struct cache *cache)
{
	const struct cache_prune_options options = {.has_limits = true, .limits = cache->limits};
	struct error ignored;
	(void)cache_prune(cache, &options, &ignored);
}

static bool is_short_of_space(const struct cache *cache)
{
	return cache_free_space(cache->fd) < cache->limits.min_free;
}

/* What is made anew at any time does not take the last of the space from what is not. */
static int make_room(const struct cache *cache, const char *kind, struct error *err)
{
	if (!is_short_of_space(cache))
		return 0;
	keep_limits(cache);
	if (strcmp(kind, CACHE_KEPT_KIND) == 0 || !is_short_of_space(cache))
		return 0;
	return error_set(err, ERROR_OUTPUT, ENOSPC,
		"nothing is added to %s: its file system has %llu MiB free, and %llu are left to "
		"others (LAYERVM_CACHE_MIN_FREE)",
		cache->path, (unsigned long long)(cache_free_space(cache->fd) >> 20),
		(unsigned long long)(cache->limits.min_free >> 20));
}

int cache_start(
	const struct cache *cache, const char *kind, struct cache_entry **out, struct error *err)
{
	cleanup_cache_entry struct cache_entry *entry = xcalloc(1, sizeof(*entry));
	entry->cache = cache;
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

/* Counts an entry that has its name now; from time to time that has all of them counted. */
static void account(const struct cache_entry *entry)
{
	const struct cache *cache = entry->cache;
	struct stat st;
	uint64_t bytes = 0;
	if (fstat(entry->fd, &st) == 0)
		bytes = (uint64_t)st.st_blocks * ST_BLOCK;
	if (is_short_of_space(cache) || usage_add(cache->fd, bytes, cache->limits.max_size))
		keep_limits(cache);
}

int cache_publish(struct cache_entry *entry, const struct digest *key, struct error *err)
{
	char name[DIGEST_TEXT_SIZE];
	digest_hex(key, name);
	(void)futimens(entry->fd, NULL);
	if (give_name(entry, name) == 0) {
		account(entry);
		return 0;
	}
	if (errno == EEXIST)
		return 0;
	return error_set_errno(err, ERROR_OUTPUT, "cannot give a file of the cache its name");
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
