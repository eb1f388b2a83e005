#include "commands/boot_mark.h"

#include <endian.h>
#include <fcntl.h>
#include <time.h>

#include "cache/list.h"
#include "support/fileio.h"
#include "support/memory.h"

/* Returns false where no boot is told from another. */
static bool make_key(const struct digest *content, uint64_t ino, struct digest *key)
{
	struct error ignored;
	cleanup_buffer struct buffer boot = {0};
	cleanup_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || file_read_all(fd, 256, &boot, "boot_id", &ignored) < 0 || boot.len == 0)
		return false;
	cleanup_hasher struct hasher *hasher = hasher_new();
	const uint64_t number = htole64(ino);
	hasher_add(hasher, content->bytes, sizeof(content->bytes));
	hasher_add(hasher, &number, sizeof(number));
	hasher_add(hasher, boot.data, boot.len);
	*key = hasher_finish(hasher);
	return true;
}

int boot_mark_find(
	const struct cache *cache, const struct digest *content, uint64_t ino, struct error *err)
{
	struct digest key;
	cleanup_close int fd = -1;
	return make_key(content, ino, &key)
		       ? cache_find(cache, BOOT_MARK_KIND, &key, O_RDONLY, &fd, err)
		       : 0;
}

/* When this machine was started, by the clock that files' times are of. */
static time_t boot_time(void)
{
	struct timespec now, since;
	if (clock_gettime(CLOCK_REALTIME, &now) < 0 || clock_gettime(CLOCK_BOOTTIME, &since) < 0)
		return 0;
	return now.tv_sec - since.tv_sec - 1;
}

/* A mark that goes because the clock was set has its file read once more, and no harm is done. */
static void remove_old(const struct cache *cache)
{
	struct error ignored;
	cleanup_cache_list struct cache_list list = {0};
	time_t start = boot_time();
	if (cache_list_read_kind(cache, BOOT_MARK_KIND, &list, &ignored) < 0)
		return;
	for (size_t i = 0; i < list.count; i++) {
		if (list.items[i].used.tv_sec < start)
			(void)cache_remove(cache, BOOT_MARK_KIND, &list.items[i].key, &ignored);
	}
	(void)cache_trim(cache, BOOT_MARK_KIND, BOOT_MARKS_MAX, &ignored);
}

int boot_mark_put(
	const struct cache *cache, const struct digest *content, uint64_t ino, struct error *err)
{
	struct digest key;
	if (!make_key(content, ino, &key))
		return 0;
	int r = cache_mark(cache, BOOT_MARK_KIND, &key, err);
	if (r == 0)
		remove_old(cache);
	return r;
}
