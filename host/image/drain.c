#include "image/drain.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "image/ring.h"
#include "support/fileio.h"
#include "support/memory.h"

/* Zeros are left out of files in pieces of this size. */
#define HOLE_BLOCK 4096u

#define FILE_NAME "a temporary file"

struct drain {
	int fd; /* -1: there is no file */
	uint64_t offset;
	struct ring *ring;
	/* The writer's alone until it has ended. */
	uint64_t position; /* bytes taken */
	struct hasher *hasher;
	struct error err;
	int result;
	/* The pusher's alone. */
	bool has_thread;
	pthread_t thread;
};

static bool is_zero(const uint8_t *data, size_t len)
{
	return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

static int write_piece(struct drain *drain, const uint8_t *data, size_t start, size_t end)
{
	if (start == end)
		return 0;
	return file_write_at(drain->fd, data + start, end - start,
		drain->offset + drain->position + start, FILE_NAME, &drain->err);
}

/* Writes all of the bytes but whole blocks of zeros. */
static int write_sparse(struct drain *drain, const uint8_t *data, size_t len)
{
	size_t start = 0;
	size_t at = 0;
	while (at < len) {
		size_t n = HOLE_BLOCK - (size_t)((drain->position + at) % HOLE_BLOCK);
		if (n > len - at)
			n = len - at;
		if (n == HOLE_BLOCK && is_zero(data + at, n)) {
			int r = write_piece(drain, data, start, at);
			if (r < 0)
				return r;
			start = at + n;
		}
		at += n;
	}
	return write_piece(drain, data, start, len);
}

static void take(struct drain *drain, const uint8_t *data, size_t len)
{
	hasher_add(drain->hasher, data, len);
	if (drain->fd >= 0 && len != 0)
		drain->result = write_sparse(drain, data, len);
	drain->position += len;
	if (drain->result < 0)
		ring_stop(drain->ring);
	ring_release(drain->ring);
}

/* The writer: takes the buffers in order until there are no more. */
static void *work(void *data)
{
	struct drain *drain = data;
	const uint8_t *bytes;
	size_t len;
	while (drain->result == 0 && (bytes = ring_next(drain->ring, &len)) != NULL)
		take(drain, bytes, len);
	return NULL;
}

struct drain *drain_new(int fd, uint64_t offset)
{
	struct drain *drain = xcalloc(1, sizeof(*drain));
	drain->fd = fd;
	drain->offset = offset;
	drain->hasher = hasher_new();
	drain->ring = ring_new();
	return drain;
}

/*
 * The thread is started for the second buffer: most layers of many-layered images fit into one.
 * Where there can be no thread, the pusher writes.
 */
static void make_way(struct drain *drain)
{
	if (drain->has_thread || ring_waiting(drain->ring) == 0)
		return;
	drain->has_thread = pthread_create(&drain->thread, NULL, work, drain) == 0;
	if (drain->has_thread)
		return;
	size_t len;
	const uint8_t *bytes = ring_next(drain->ring, &len);
	take(drain, bytes, len);
}

void *drain_buffer(struct drain *drain)
{
	make_way(drain);
	return ring_buffer(drain->ring);
}

void drain_push(struct drain *drain, size_t len)
{
	ring_push(drain->ring, len);
}

/* Has the rest written: by the thread, which ends, or here, where there is none. */
static void close_drain(struct drain *drain)
{
	ring_close(drain->ring);
	if (drain->has_thread)
		pthread_join(drain->thread, NULL);
	else
		work(drain);
	drain->has_thread = false;
}

int drain_finish(struct drain *drain, struct digest *digest, uint64_t *size, struct error *err)
{
	close_drain(drain);
	if (drain->result < 0) {
		*err = drain->err;
		return drain->result;
	}
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
	if (drain->has_thread)
		close_drain(drain);
	ring_free(drain->ring);
	hasher_free(drain->hasher);
	free(drain);
}
