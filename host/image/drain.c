#include "image/drain.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "support/fileio.h"
#include "support/memory.h"

/* Zeros are left out of files in pieces of this size. */
#define HOLE_BLOCK 4096u

#define FILE_NAME "a temporary file"

struct drain {
	struct pump *pump;
	int fd; /* -1: there is no file */
	uint64_t offset;
	/* The writer's alone until it has ended. */
	uint64_t position; /* bytes taken */
	struct hasher *hasher;
};

static bool is_zero(const uint8_t *data, size_t len)
{
	return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

static int write_piece(
	struct drain *drain, const uint8_t *data, size_t start, size_t end, struct error *err)
{
	if (start == end)
		return 0;
	return file_write_at(drain->fd, data + start, end - start,
		drain->offset + drain->position + start, FILE_NAME, err);
}

/* Writes all of the bytes but whole blocks of zeros. */
static int write_sparse(struct drain *drain, const uint8_t *data, size_t len, struct error *err)
{
	size_t start = 0;
	size_t at = 0;
	while (at < len) {
		size_t n = HOLE_BLOCK - (size_t)((drain->position + at) % HOLE_BLOCK);
		if (n > len - at)
			n = len - at;
		if (n == HOLE_BLOCK && is_zero(data + at, n)) {
			int r = write_piece(drain, data, start, at, err);
			if (r < 0)
				return r;
			start = at + n;
		}
		at += n;
	}
	return write_piece(drain, data, start, len, err);
}

static int take(void *context, const uint8_t *data, size_t len, struct error *err)
{
	struct drain *drain = context;
	hasher_add(drain->hasher, data, len);
	int r = drain->fd >= 0 && len != 0 ? write_sparse(drain, data, len, err) : 0;
	drain->position += len;
	return r;
}

struct drain *drain_new(int fd, uint64_t offset)
{
	struct drain *drain = xcalloc(1, sizeof(*drain));
	drain->fd = fd;
	drain->offset = offset;
	drain->hasher = hasher_new();
	drain->pump = pump_new(take, drain);
	return drain;
}

void *drain_buffer(struct drain *drain)
{
	return pump_buffer(drain->pump);
}

void drain_push(struct drain *drain, size_t len)
{
	pump_push(drain->pump, len);
}

int drain_finish(struct drain *drain, struct digest *digest, uint64_t *size, struct error *err)
{
	int r = pump_finish(drain->pump, err);
	if (r < 0)
		return r;
	*digest = hasher_finish(drain->hasher);
	*size = drain->position;
	if (drain->fd >= 0 && ftruncate(drain->fd, (off_t)(drain->offset + drain->position)) < 0)
		return error_set_errno(err, ERROR_OUTPUT, FILE_NAME ": cannot be extended");
	return 0;
}

void drain_free(struct drain *drain)
{
	if (drain == NULL)
		return;
	pump_free(drain->pump);
	hasher_free(drain->hasher);
	free(drain);
}
