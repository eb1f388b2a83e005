#include "image/drain.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "support/fileio.h"
#include "support/memory.h"

/* Zeros are left out of files in pieces of this size. */
#define HOLE_BLOCK 4096u

/* Buffers in turn: enough for one side to go on while the other waits for the disk. */
#define BUFFERS 4u

#define FILE_NAME "a temporary file"

struct drain {
	int fd;
	uint64_t offset;
	/* The writer's alone until it has ended. */
	uint64_t position; /* bytes written */
	struct hasher *hasher;
	struct error err;
	/* Shared. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint8_t *buffers[BUFFERS];
	size_t lens[BUFFERS];
	size_t pushed;  /* buffers handed on so far; the next one is pushed % BUFFERS */
	size_t written; /* buffers written so far */
	bool closed;    /* no more is pushed */
	int result;     /* of the writer */
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

static int take(struct drain *drain, const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	hasher_add(drain->hasher, data, len);
	int r = write_sparse(drain, data, len);
	drain->position += len;
	return r;
}

/* The writer: takes the buffers in order until there are no more. */
static void *work(void *data)
{
	struct drain *drain = data;
	pthread_mutex_lock(&drain->lock);
	for (;;) {
		while (drain->written == drain->pushed && !drain->closed)
			pthread_cond_wait(&drain->changed, &drain->lock);
		if (drain->written == drain->pushed || drain->result < 0)
			break;
		size_t slot = drain->written % BUFFERS;
		pthread_mutex_unlock(&drain->lock);
		int r = take(drain, drain->buffers[slot], drain->lens[slot]);
		pthread_mutex_lock(&drain->lock);
		drain->result = r;
		drain->written++;
		pthread_cond_signal(&drain->changed);
	}
	pthread_mutex_unlock(&drain->lock);
	return NULL;
}

struct drain *drain_new(int fd, uint64_t offset)
{
	struct drain *drain = xcalloc(1, sizeof(*drain));
	drain->fd = fd;
	drain->offset = offset;
	drain->hasher = hasher_new();
	pthread_mutex_init(&drain->lock, NULL);
	pthread_cond_init(&drain->changed, NULL);
	return drain;
}

/*
 * The thread is started for the second buffer: most layers of many-layered images fit into one.
 * Where there can be no thread, the pusher writes.
 */
static void make_way(struct drain *drain)
{
	if (drain->has_thread || drain->written == drain->pushed)
		return;
	drain->has_thread = pthread_create(&drain->thread, NULL, work, drain) == 0;
	if (drain->has_thread)
		return;
	size_t slot = drain->written % BUFFERS;
	drain->result = take(drain, drain->buffers[slot], drain->lens[slot]);
	drain->written++;
}

void *drain_buffer(struct drain *drain)
{
	make_way(drain);
	pthread_mutex_lock(&drain->lock);
	while (drain->pushed - drain->written == BUFFERS && drain->result == 0)
		pthread_cond_wait(&drain->changed, &drain->lock);
	int result = drain->result;
	size_t slot = drain->pushed % BUFFERS;
	pthread_mutex_unlock(&drain->lock);
	if (result < 0)
		return NULL;
	if (drain->buffers[slot] == NULL)
		drain->buffers[slot] = xmalloc(DRAIN_CHUNK);
	return drain->buffers[slot];
}

void drain_push(struct drain *drain, size_t len)
{
	pthread_mutex_lock(&drain->lock);
	drain->lens[drain->pushed++ % BUFFERS] = len;
	pthread_cond_signal(&drain->changed);
	pthread_mutex_unlock(&drain->lock);
}

/* Has the rest written: by the thread, which ends, or here, where there is none. */
static void close_drain(struct drain *drain)
{
	pthread_mutex_lock(&drain->lock);
	drain->closed = true;
	pthread_cond_signal(&drain->changed);
	pthread_mutex_unlock(&drain->lock);
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
	if (ftruncate(drain->fd, (off_t)(drain->offset + drain->position)) < 0)
		return error_set_errno(err, ERROR_OUTPUT, FILE_NAME ": cannot be extended");
	return 0;
}

void drain_free(struct drain *drain)
{
	if (drain == NULL)
		return;
	if (drain->has_thread)
		close_drain(drain);
	for (size_t i = 0; i < BUFFERS; i++)
		free(drain->buffers[i]);
	hasher_free(drain->hasher);
	pthread_cond_destroy(&drain->changed);
	pthread_mutex_destroy(&drain->lock);
	free(drain);
}
