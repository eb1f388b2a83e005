#include "disk/disk_digest.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "disk/disk.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define CHUNK (256u << 10)
#define FILE_NAME "a disk"

static bool is_zero(const uint8_t *data, size_t len)
{
	return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

static void add_number(struct hasher *hasher, uint64_t number)
{
	uint64_t le = htole64(number);
	hasher_add(hasher, &le, sizeof(le));
}

/* data: len bytes from offset on, which is a multiple of the block size. */
static void add_blocks(struct hasher *hasher, const uint8_t *data, size_t len, uint64_t offset)
{
	for (size_t at = 0; at < len; at += DISK_BLOCK_SIZE) {
		size_t n = len - at < DISK_BLOCK_SIZE ? len - at : DISK_BLOCK_SIZE;
		if (is_zero(data + at, n))
			continue;
		add_number(hasher, (offset + at) / DISK_BLOCK_SIZE);
		hasher_add(hasher, data + at, n);
	}
}

/* The data from offset on, in whole blocks: *start and *end; end is 0 where there is no more. */
static int next_data(
	int fd, uint64_t size, uint64_t offset, uint64_t *start, uint64_t *end, struct error *err)
{
	*end = 0;
	if (offset >= size)
		return 0;
	off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return 0;
	off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
	if (hole < 0)
		return error_set_errno(err, ERROR_INPUT, FILE_NAME ": cannot find its data");
	*start = (uint64_t)data / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE;
	*end = ((uint64_t)hole + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE;
	if (*start < offset)
		*start = offset;
	if (*end > size)
		*end = size;
	return 0;
}

int disk_digest(int fd, struct digest *out, struct error *err)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	cleanup_free uint8_t *chunk = xmalloc(CHUNK);
	off_t length = lseek(fd, 0, SEEK_END);
	if (length < 0)
		return error_set_errno(err, ERROR_INPUT, FILE_NAME ": cannot be read");
	uint64_t size = (uint64_t)length;
	uint64_t at = 0;
	uint64_t end = 0;
	for (;;) {
		int r = interrupt_check(err);
		if (r == 0 && at == end)
			r = next_data(fd, size, end, &at, &end, err);
		if (r < 0)
			return r;
		if (end == 0)
			break;
		size_t n = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		r = file_read_at(fd, chunk, n, at, FILE_NAME, err);
		if (r < 0)
			return r;
		add_blocks(hasher, chunk, n, at);
		at += n;
	}
	add_number(hasher, size);
	*out = hasher_finish(hasher);
	return 0;
}
