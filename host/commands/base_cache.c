#include "commands/base_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "commands/base_record.h"
#include "commands/recorded_disk.h"
#include "disk/disk.h"
#include "support/memory.h"
#include "tree/tree_file.h"

#define DISK_NAME "a base disk in the cache"

static const struct recorded_disk_kind disk_kind = {.kind = BASE_KIND_DISK, .name = DISK_NAME};

/* A base that is being looked up. */
struct lookup {
	const struct cache *cache;
	struct digest key;
	struct base_record record;
	int file; /* the record and the tree */
	int disk;
};

static void lookup_close(struct lookup *lookup)
{
	cleanup_close_fn(&lookup->file);
	cleanup_close_fn(&lookup->disk);
}

/* Another descriptor for a file that the tree and its owner both close. */
static int duplicate(int fd, struct error *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return copy >= 0 ? copy : error_set_errno(err, ERROR_INTERNAL, "cannot copy a descriptor");
}

/* Opens the disk that the record names, and checks both. */
static int open_disk(struct lookup *l, enum base_check check, struct error *err)
{
	int r = base_record_read(l->file, &l->record, err);
	return r < 0 ? r
		     : recorded_disk_open(l->cache, &disk_kind, &l->record, check, &l->disk, err);
}

static int read_tree(const struct lookup *l, struct tree **out, struct error *err)
{
	cleanup_tree struct tree *tree = tree_new();
	int fd = duplicate(l->disk, err);
	if (fd < 0)
		return fd;
	struct source *disk = source_from_fd(fd, 0, DISK_NAME);
	int r = tree_file_read(l->file, BASE_TREE_OFFSET, disk, l->record.identity.size, tree, err);
	if (r == 0)
		*out = steal_ptr(&tree);
	return r;
}

/* What cannot be read is of no use to anybody; a disk that is damaged is gone by now. */
static int discard(const struct lookup *l, struct report *report, struct error *err)
{
	report_note(report, "cache: %s; it is made anew", err->message);
	return cache_remove(l->cache, BASE_KIND_TREE, &l->key, err);
}

int base_cache_find(const struct cache *cache, const struct base_id *id, enum base_check check,
	struct report *report, struct tree **tree, int *disk, struct error *err)
{
	__attribute__((cleanup(lookup_close))) struct lookup l = {
		.cache = cache, .key = base_key(id), .file = -1, .disk = -1};
	int r = cache_find(cache, BASE_KIND_TREE, &l.key, O_RDONLY, &l.file, err);
	if (r <= 0)
		return r;
	r = open_disk(&l, check, err);
	if (r == 0)
		r = read_tree(&l, tree, err);
	if (r < 0)
		return err->kind == ERROR_INPUT ? discard(&l, report, err) : r;
	*disk = steal_fd(&l.disk);
	return 1;
}

struct base_making {
	const struct cache *cache;
	struct base_id id;
	struct cache_claim claim;
	struct cache_entry *disk;
	struct cache_entry *file;
	int reader; /* the disk for reading only */
	/* Of the thread, until it was waited for. */
	bool has_thread;
	pthread_t thread;
	int result;
	struct error err;
};

int base_making_start(const struct base_slot *slot, struct base_making **out, struct error *err)
{
	char path[32];
	const struct cache *cache = slot->cache;
	const struct base_id *id = &slot->id;
	cleanup_base_making struct base_making *m = xcalloc(1, sizeof(*m));
	m->cache = cache;
	m->id = *id;
	m->reader = -1;
	m->claim = CACHE_CLAIM_NONE;
	if (slot->claim != NULL) {
		m->claim = *slot->claim;
		*slot->claim = CACHE_CLAIM_NONE;
	}
	int r = cache_start(cache, BASE_KIND_DISK, &m->disk, err);
	if (r == 0)
		r = cache_start(cache, BASE_KIND_TREE, &m->file, err);
	if (r < 0)
		return r;
	int fd = cache_entry_fd(m->disk);
	if (ftruncate(fd, (off_t)id->file_size) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot make a disk of %llu bytes",
			cache_path(cache), (unsigned long long)id->file_size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	m->reader = open(path, O_RDONLY | O_CLOEXEC);
	if (m->reader < 0)
		return error_set_errno(err, ERROR_OUTPUT,
			"%s: cannot open a file that was just made", cache_path(cache));
	*out = steal_ptr(&m);
	return 0;
}

int base_making_disk(const struct base_making *making)
{
	return making->reader;
}

static int publish(struct base_making *m, struct error *err)
{
	struct base_record record;
	struct digest key = base_key(&m->id);
	int r = recorded_disk_publish(m->cache, &disk_kind, m->disk, &record, err);
	if (r == 0)
		r = base_record_write(cache_entry_fd(m->file), &record, err);
	return r < 0 ? r : cache_publish(m->file, &key, err);
}

static void *work(void *data)
{
	struct base_making *m = data;
	m->result = publish(m, &m->err);
	cache_claim_release(&m->claim);
	return NULL;
}

int base_making_assemble(
	struct base_making *making, struct tree *tree, uint64_t *size, struct error *err)
{
	int fd = duplicate(making->reader, err);
	if (fd < 0)
		return fd;
	struct source *home = source_from_fd(fd, 0, DISK_NAME);
	const struct disk_options options = {
		.room = making->id.room, .file_size = making->id.file_size, .home = home};
	int r = disk_assemble(tree, cache_entry_fd(making->disk), &options, size, err);
	if (r < 0) {
		/* With the last descriptor goes what the file takes of a full file system. */
		home->free(home);
		return r;
	}
	tree_own_source(tree, home);
	making->result = tree_file_write(
		tree, home, cache_entry_fd(making->file), BASE_TREE_OFFSET, &making->err);
	if (making->result == 0 || making->err.kind == ERROR_OUTPUT)
		return 0;
	*err = making->err;
	return making->result;
}

void base_making_publish(struct base_making *making)
{
	if (making->result < 0) {
		cache_claim_release(&making->claim);
		return;
	}
	making->has_thread = pthread_create(&making->thread, NULL, work, making) == 0;
	if (!making->has_thread)
		work(making);
}

static void join(struct base_making *making)
{
	if (making->has_thread)
		pthread_join(making->thread, NULL);
	making->has_thread = false;
}

int base_making_finish(struct base_making *making, struct error *err)
{
	join(making);
	if (making->result < 0)
		*err = making->err;
	return making->result;
}

void base_making_free(struct base_making *making)
{
	if (making == NULL)
		return;
	join(making);
	cache_entry_free(making->disk);
	cache_entry_free(making->file);
	cleanup_close_fn(&making->reader);
	cache_claim_release(&making->claim);
	free(making);
}
