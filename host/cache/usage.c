#include "cache/usage.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "support/fileio.h"
#include "support/memory.h"

#define MAGIC "lvmusage"

/* Little-endian. */
struct record {
	char magic[8];
	uint64_t bytes;
	uint64_t entries; /* that were added since all were counted */
};

/* Opened and locked; -1 where it cannot be, or where somebody else has it. */
static int open_record(int folder, bool *is_busy)
{
	struct stat st;
	*is_busy = false;
	cleanup_close int fd = openat(
		folder, USAGE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		*is_busy = errno == EWOULDBLOCK;
		return -1;
	}
	return steal_fd(&fd);
}

static void write_record(int fd, uint64_t bytes, uint64_t entries)
{
	struct error ignored;
	const struct record record = {
		.magic = MAGIC, .bytes = htole64(bytes), .entries = htole64(entries)};
	(void)file_write_at(fd, &record, sizeof(record), 0, USAGE_NAME, &ignored);
}

bool usage_add(int folder, uint64_t bytes, uint64_t max)
{
	struct record record;
	struct error ignored;
	bool is_busy;
	cleanup_close int fd = open_record(folder, &is_busy);
	if (fd < 0)
		return !is_busy;
	if (file_read_at(fd, &record, sizeof(record), 0, USAGE_NAME, &ignored) < 0 ||
		memcmp(record.magic, MAGIC, sizeof(record.magic)) != 0)
		return true;
	uint64_t entries = le64toh(record.entries);
	uint64_t all;
	if (__builtin_add_overflow(le64toh(record.bytes), bytes, &all) || all > max ||
		entries >= USAGE_ENTRIES_MAX)
		return true;
	write_record(fd, all, entries + 1);
	return false;
}

void usage_set(int folder, uint64_t bytes)
{
	bool is_busy;
	cleanup_close int fd = open_record(folder, &is_busy);
	if (fd >= 0)
		write_record(fd, bytes, 0);
}
