#include "commands/bind_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "commands/cache_note.h"
#include "commands/recorded_disk.h"
#include "disk/disk.h"
#include "hostdir/hostdigest.h"
#include "hostdir/hostdir.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/vm.h"

#define KEPT_MAX 16 /* folders, and disks, in the cache folder */

/* Changes with what bind_disk_open writes for the same folder. */
#define VERSION "layervm bind disk 5"

static const struct recorded_disk_kind disk_kind = {
	.kind = BIND_KIND_DISK, .name = "a folder's disk in the cache"};

/* All that the disk follows from. */
static int make_key(const char *folder, struct digest *key, struct error *err)
{
	static const char version[] = VERSION;
	const uint64_t numbers[] = {BIND_DISK_ROOM, disk_format()};
	struct digest content;
	int r = hostdigest(folder, true, &content, err);
	if (r < 0)
		return r;
	cleanup_hasher struct hasher *hasher = hasher_new();
	hasher_add(hasher, version, sizeof(version));
	hasher_add(hasher, numbers, sizeof(numbers));
	hasher_add(hasher, content.bytes, sizeof(content.bytes));
	*key = hasher_finish(hasher);
	return 0;
}

/* The file is as long as a guest takes its disks for (VM_DISK_SIZE), whatever is in it. */
static int make_disk(const char *folder, int fd, struct report *report, struct error *err)
{
	const struct hostdir_options hostdir_options = {.keep_dirlinks = true, .report = report};
	const struct disk_options disk_options = {
		.room = BIND_DISK_ROOM, .file_size = VM_DISK_SIZE};
	cleanup_tree struct tree *tree = tree_new();
	uint64_t size;
	int r = hostdir_copy_in(tree, folder, &hostdir_options, err);
	if (r == 0 && ftruncate(fd, VM_DISK_SIZE) < 0)
		r = error_set_errno(err, ERROR_OUTPUT, "a disk cannot be made");
	return r < 0 ? r : disk_assemble(tree, fd, &disk_options, &size, err);
}

/* The disk under its digest, and under the folder's key which disk that is. */
static int publish(const struct cache *cache, struct cache_entry *disk, const struct digest *key,
	struct error *err)
{
	struct base_record record;
	cleanup_cache_entry struct cache_entry *file = NULL;
	int r = recorded_disk_publish(cache, &disk_kind, disk, &record, err);
	if (r == 0)
		r = cache_start(cache, BIND_KIND_RECORD, &file, err);
	if (r == 0)
		r = base_record_write(cache_entry_fd(file), &record, err);
	if (r == 0)
		r = cache_publish(file, key, err);
	if (r == 0)
		r = cache_trim(cache, BIND_KIND_RECORD, KEPT_MAX, err);
	return r < 0 ? r : cache_trim(cache, BIND_KIND_DISK, KEPT_MAX, err);
}

/*
 * Makes the disk in the cache, where it stays if it can: once it is whole it is good for this run
 * in any case. Returns a descriptor of it; an ERROR_OUTPUT where the cache cannot be written.
 */
static int make_kept(const struct cache *cache, const char *folder, const struct digest *key,
	struct report *report, struct error *err)
{
	struct digest after;
	cleanup_cache_entry struct cache_entry *entry = NULL;
	int r = cache_start(cache, BIND_KIND_DISK, &entry, err);
	if (r == 0)
		r = make_disk(folder, cache_entry_fd(entry), report, err);
	if (r == 0)
		r = make_key(folder, &after, err);
	if (r < 0)
		return r;
	/* What changed while it was read is good for this run, and for no other. */
	if (digest_equal(key, &after))
		r = cache_note(report, publish(cache, entry, key, err), err);
	if (r < 0)
		return r;
	int fd = fcntl(cache_entry_fd(entry), F_DUPFD_CLOEXEC, 3);
	return fd >= 0 ? fd : error_set_errno(err, ERROR_INTERNAL, "cannot copy a descriptor");
}

/* Makes it in a file that is gone with its descriptor, which is returned. */
static int make_unkept(const char *folder, struct report *report, struct error *err)
{
	cleanup_close int fd = file_temporary(err);
	int r = fd < 0 ? fd : make_disk(folder, fd, report, err);
	return r < 0 ? r : steal_fd(&fd);
}

/* What is looked for, and how it is checked. */
struct lookup {
	struct digest key;
	enum base_check check;
};

/* Returns 1 with the disk; 0 where there is none, or none any more, because it was damaged. */
static int find_disk(const struct cache *cache, const struct lookup *lookup, struct report *report,
	int *fd, struct error *err)
{
	const struct digest *key = &lookup->key;
	struct base_record record;
	cleanup_close int file = -1;
	int r = cache_find(cache, BIND_KIND_RECORD, key, O_RDONLY, &file, err);
	if (r <= 0)
		return r;
	r = base_record_read(file, &record, err);
	if (r == 0)
		r = recorded_disk_open(cache, &disk_kind, &record, lookup->check, fd, err);
	if (r == 0)
		return 1;
	if (err->kind != ERROR_INPUT)
		return r;
	report_note(report, "cache: %s; it is made anew", err->message);
	return cache_remove(cache, BIND_KIND_RECORD, key, err);
}

static int open_disk(const struct cache *cache, const struct bind_disk_source *source,
	struct report *report, int *fd, struct error *err)
{
	const char *folder = source->folder;
	struct lookup lookup = {.check = source->check};
	int r = make_key(folder, &lookup.key, err);
	if (r == 0)
		r = find_disk(cache, &lookup, report, fd, err);
	if (r < 0 && err->kind == ERROR_OUTPUT)
		r = cache_note(report, r, err);
	if (r != 0)
		return r < 0 ? r : 0;
	report_stage(report, "mount", "%s, as a disk", folder);
	int made = make_kept(cache, folder, &lookup.key, report, err);
	if (made < 0 && err->kind == ERROR_OUTPUT) {
		(void)cache_note(report, made, err);
		made = make_unkept(folder, report, err);
	}
	if (made < 0)
		return made;
	*fd = made;
	return 0;
}

int bind_disk_open(const struct cache *cache, const struct bind_disk_source *source,
	struct report *report, int *fd, struct error *err)
{
	int r = open_disk(cache, source, report, fd, err);
	return r < 0 && err->kind != ERROR_INTERRUPTED ? error_wrap(err, r, "mounts: src") : r;
}
