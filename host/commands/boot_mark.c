#include "commands/boot_mark.h"

#include <endian.h>
#include <fcntl.h>

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

int boot_mark_put(
	const struct cache *cache, const struct digest *content, uint64_t ino, struct error *err)
{
	struct digest key;
	return make_key(content, ino, &key) ? cache_mark(cache, BOOT_MARK_KIND, &key, err) : 0;
}
