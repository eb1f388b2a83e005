#include "cache/list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/claim.h"
#include "cache/unfinished.h"
#include "cache/usage.h"
#include "support/identity.h"
#include "support/memory.h"

static void cleanup_dir_fn(DIR **stream)
{
	if (*stream != NULL)
		closedir(*stream);
}
#define cleanup_dir __attribute__((cleanup(cleanup_dir_fn)))

void cache_list_free(struct cache_list *list)
{
	for (size_t i = 0; i < list->stranger_count; i++)
		free(list->strangers[i].path);
	free(list->strangers);
	free(list->items);
	*list = (struct cache_list){0};
}

bool cache_is_kind_name(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && len < CACHE_KIND_SIZE && name[0] != '-' && name[len - 1] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz-") == len;
}

/* kind: NULL for what is in the cache folder itself. */
static void add_stranger(
	struct cache_list *list, enum cache_stranger_type type, const char *kind, const char *name)
{
	list->strangers = array_grow(list->strangers, list->stranger_count,
		&list->stranger_capacity, sizeof(*list->strangers));
	list->strangers[list->stranger_count++] = (struct cache_stranger){
		.type = type,
		.path = kind != NULL ? xasprintf("%s/%s", kind, name) : xstrdup(name),
	};
}

static bool parse_key(const char *name, struct digest *key)
{
	char text[DIGEST_TEXT_SIZE];
	int len = snprintf(text, sizeof(text), "sha256:%s", name);
	return len > 0 && (size_t)len < sizeof(text) && digest_parse(key, text);
}

static void add_name(struct cache_list *list, int folder, const char *kind, const char *name)
{
	struct cache_item item = {0};
	struct stat st;
	if (!parse_key(name, &item.key)) {
		add_stranger(list,
			is_unfinished_name(name) ? CACHE_STRANGER_UNFINISHED : CACHE_STRANGER_NAME,
			kind, name);
		return;
	}
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return; /* it is gone by now */
	if (!S_ISREG(st.st_mode)) {
		add_stranger(list, CACHE_STRANGER_FILE, kind, name);
		return;
	}
	snprintf(item.kind, sizeof(item.kind), "%s", kind);
	item.size = (uint64_t)st.st_size;
	item.allocated = file_allocated(&st);
	item.used = st.st_mtim;
	list->items = array_grow(list->items, list->count, &list->capacity, sizeof(*list->items));
	list->items[list->count++] = item;
}

/* Reads a folder that is open, from its beginning; name by name they go to add. */
static int read_names(int folder, const char *path, struct cache_list *list, const char *kind,
	void (*add)(struct cache_list *list, int folder, const char *kind, const char *name),
	struct error *err)
{
	cleanup_close int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *stream = again >= 0 ? fdopendir(again) : NULL;
	if (stream == NULL)
		return error_set_errno(err, ERROR_OUTPUT, "cache folder %s: cannot read", path);
	(void)steal_fd(&again);
	for (;;) {
		errno = 0;
		const struct dirent *d = readdir(stream);
		if (d == NULL)
			break;
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			add(list, folder, kind, d->d_name);
	}
	return errno == 0
		       ? 0
		       : error_set_errno(err, ERROR_OUTPUT, "cache folder %s: cannot read", path);
}

int cache_list_read_kind(
	const struct cache *cache, const char *kind, struct cache_list *list, struct error *err)
{
	cleanup_close int folder =
		cache_folder_open_kind(cache_fd(cache), cache_path(cache), kind, err);
	if (folder < 0)
		return folder == -ENOENT ? 0 : folder;
	return read_names(folder, cache_path(cache), list, kind, add_name, err);
}

/* Of the cache folder: its kinds are put down as strangers first, and read when all are known. */
static void add_top(struct cache_list *list, int folder, const char *kind, const char *name)
{
	(void)folder;
	if (strcmp(name, USAGE_NAME) != 0 && strcmp(name, CACHE_CLAIMS_NAME) != 0)
		add_stranger(list, CACHE_STRANGER_FOLDER, kind, name);
}

int cache_list_read(const struct cache *cache, struct cache_list *list, struct error *err)
{
	cleanup_cache_list struct cache_list top = {0};
	int r = read_names(cache_fd(cache), cache_path(cache), &top, NULL, add_top, err);
	for (size_t i = 0; r == 0 && i < top.stranger_count; i++) {
		const char *name = top.strangers[i].path;
		struct stat st;
		bool is_kind = cache_is_kind_name(name) &&
			       fstatat(cache_fd(cache), name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			       S_ISDIR(st.st_mode);
		if (is_kind)
			r = cache_list_read_kind(cache, name, list, err);
		else
			add_stranger(list, CACHE_STRANGER_FOLDER, NULL, name);
	}
	return r;
}

/* Where the times are the same, the order is still one. */
static int oldest_first(const void *a, const void *b)
{
	const struct cache_item *x = a, *y = b;
	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
	if (x->used.tv_nsec != y->used.tv_nsec)
		return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
	int order = strcmp(x->kind, y->kind);
	return order != 0 ? order : memcmp(x->key.bytes, y->key.bytes, sizeof(x->key.bytes));
}

void cache_list_sort(struct cache_list *list)
{
	if (list->count > 0)
		qsort(list->items, list->count, sizeof(*list->items), oldest_first);
}
