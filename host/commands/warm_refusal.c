#include "commands/warm_refusal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "support/fileio.h"
#include "support/memory.h"

#define NAME "a refusal in the cache"
#define MAGIC "lvm-rfsl"

/* How many are kept: more than there are saved guests. */
#define KEPT 16

/* Little-endian. */
struct stored {
	char magic[8];
	uint64_t free_space;
	struct digest boot; /* of the boot's ID */
};

/* All zero where no boot is told from another. */
static struct digest boot_digest(void)
{
	struct error ignored;
	cleanup_buffer struct buffer boot = {0};
	cleanup_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || file_read_all(fd, 256, &boot, "boot_id", &ignored) < 0)
		return (struct digest){0};
	return digest_of(boot.data, boot.len);
}

int warm_refusal_check(const struct cache *cache, const struct digest *key, struct error *err)
{
	struct stored stored;
	struct error ignored;
	uint64_t wanted;
	cleanup_close int fd = -1;
	if (cache_find(cache, WARM_REFUSAL_KIND, key, O_RDONLY, &fd, &ignored) <= 0 ||
		file_read_at(fd, &stored, sizeof(stored), 0, NAME, &ignored) < 0)
		return 0;
	const struct digest boot = boot_digest();
	if (memcmp(stored.magic, MAGIC, sizeof(stored.magic)) != 0 ||
		!digest_equal(&stored.boot, &boot) ||
		__builtin_add_overflow(le64toh(stored.free_space), WARM_REFUSAL_MORE, &wanted) ||
		cache_free_space(cache_fd(cache)) >= wanted)
		return 0;
	return error_set(err, ERROR_OUTPUT, ENOSPC,
		"an earlier run found no room for it in %s, and not much was freed since then",
		cache_path(cache));
}

/* The entry begins empty, which is none: so it needs no room that others are left. */
void warm_refusal_put(const struct cache *cache, const struct digest *key, uint64_t free_space)
{
	struct error ignored;
	cleanup_close int fd = -1;
	struct stored stored = {.free_space = htole64(free_space), .boot = boot_digest()};
	memcpy(stored.magic, MAGIC, sizeof(stored.magic));
	if (cache_mark(cache, WARM_REFUSAL_KIND, key, &ignored) == 0 &&
		cache_find(cache, WARM_REFUSAL_KIND, key, O_RDWR, &fd, &ignored) > 0)
		(void)file_write_at(fd, &stored, sizeof(stored), 0, NAME, &ignored);
	(void)cache_trim(cache, WARM_REFUSAL_KIND, KEPT, &ignored);
}

void warm_refusal_remove(const struct cache *cache, const struct digest *key)
{
	struct error ignored;
	(void)cache_remove(cache, WARM_REFUSAL_KIND, key, &ignored);
}
