#include "commands/cache_disk.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/disk.h"
#include "support/memory.h"
#include "vm/vm.h"

#define KIND CACHE_KEPT_KIND

/*
 * What a guest makes of its disk may not be larger than what it was given, by far: its size bounds
 * what the next one writes. Inodes, and what the kernel keeps back, come on top of the room.
 */
#define DISK_SIZE_MAX (CACHE_DISK_ROOM + CACHE_DISK_ROOM / 8)

bool cache_disk_is_clean(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && st.st_size == (off_t)VM_DISK_SIZE &&
	       disk_is_sound(fd, DISK_SIZE_MAX);
}

/* An empty disk under the ID's key, unless there is one by now. */
static int make_disk(const struct cache *cache, const struct digest *key, struct error *err)
{
	const struct disk_options options = {.room = CACHE_DISK_ROOM, .file_size = VM_DISK_SIZE};
	cleanup_cache_entry struct cache_entry *entry = NULL;
	cleanup_tree struct tree *tree = tree_new();
	uint64_t size;
	int r = cache_start(cache, KIND, &entry, err);
	if (r == 0 && ftruncate(cache_entry_fd(entry), VM_DISK_SIZE) < 0)
		r = error_set_errno(err, ERROR_OUTPUT, "the disk of a cache cannot be made");
	if (r == 0)
		r = disk_assemble(tree, cache_entry_fd(entry), &options, &size, err);
	return r < 0 ? r : cache_publish(entry, key, err);
}

static int lock_disk(int fd, const char *id, struct report *report, struct error *err)
{
	int r = cache_try_lock(fd, err);
	if (r != 0)
		return r < 0 ? r : 0;
	report_note(report, "cache %s: another run has it; waiting for its end", id);
	return cache_wait_lock(fd, err);
}

int cache_disk_open(const struct cache *cache, const char *id, struct report *report, int *fd,
	struct error *err)
{
	const struct digest key = digest_of(id, strlen(id));
	for (;;) {
		cleanup_close int found = -1;
		int r = cache_find(cache, KIND, &key, O_RDWR, &found, err);
		if (r == 0) {
			r = make_disk(cache, &key, err);
			if (r < 0)
				return r;
			continue;
		}
		if (r > 0)
			r = lock_disk(found, id, report, err);
		if (r < 0)
			return r;
		/* Whoever had the lock may have put another disk in its place. */
		if (!cache_is_current(cache, KIND, &key, found))
			continue;
		if (cache_disk_is_clean(found)) {
			*fd = steal_fd(&found);
			return 0;
		}
		report_warning(report,
			"cache %s: was not left clean by the run before, and begins empty", id);
		r = cache_remove(cache, KIND, &key, err);
		if (r < 0)
			return r;
	}
}
