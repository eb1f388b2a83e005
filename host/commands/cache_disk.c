#include "commands/cache_disk.h"

#include <endian.h>
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
 * Fields of the superblock at byte 1024 of an ext4 disk (the kernel's
 * Documentation/filesystems/ext4/super.rst), little-endian.
 */
#define SUPER_OFFSET 1024
#define SUPER_SIZE 1024
#define AT_BLOCKS 0x04
#define AT_LOG_BLOCK_SIZE 0x18
#define AT_MAGIC 0x38
#define AT_STATE 0x3a
#define AT_LAST_ORPHAN 0xe8
#define AT_ERROR_COUNT 0x194

/*
 * What a guest makes of its disk may not be larger than what it was given, by far: its size bounds
 * what the next one writes. Inodes, and what the kernel keeps back, come on top of the room.
 */
#define BLOCKS_MAX ((CACHE_DISK_ROOM + CACHE_DISK_ROOM / 8) / DISK_BLOCK_SIZE)

#define MAGIC 0xef53
#define STATE_CLEAN 1 /* unmounted cleanly, no errors, no orphans; cleared while it is mounted */

static uint32_t get_u32(const uint8_t *super, size_t at)
{
	uint32_t value;
	memcpy(&value, super + at, sizeof(value));
	return le32toh(value);
}

static uint16_t get_u16(const uint8_t *super, size_t at)
{
	uint16_t value;
	memcpy(&value, super + at, sizeof(value));
	return le16toh(value);
}

/* Whether the last guest that had the disk let it go as it should. */
static bool is_clean(int fd)
{
	uint8_t super[SUPER_SIZE];
	struct stat st;
	if (fstat(fd, &st) < 0 ||
		pread(fd, super, sizeof(super), SUPER_OFFSET) != (ssize_t)sizeof(super))
		return false;
	return get_u16(super, AT_MAGIC) == MAGIC && get_u32(super, AT_LOG_BLOCK_SIZE) == 2 &&
	       st.st_size == (off_t)VM_DISK_SIZE && get_u32(super, AT_BLOCKS) <= BLOCKS_MAX &&
	       get_u16(super, AT_STATE) == STATE_CLEAN && get_u32(super, AT_LAST_ORPHAN) == 0 &&
	       get_u32(super, AT_ERROR_COUNT) == 0;
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
		if (is_clean(found)) {
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
