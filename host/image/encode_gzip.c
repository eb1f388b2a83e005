/*
 * gzip (RFC 1952), one member: the data is cut into pieces of a fixed size, which threads compress
 * side by side and which stand one behind the other in the stream.
 */
#include <errno.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#include "image/deflate_block.h"
#include "image/encode.h"
#include "support/memory.h"

/* Pieces that wait to be compressed or written, beside those that are being compressed. */
#define PIECES_MORE 2u

/* A piece on its way through the ring. */
struct piece {
	uint8_t *data; /* DEFLATE_PIECE bytes of room */
	size_t len;
	uint8_t *deflated; /* deflate_piece_max() bytes of room */
	size_t deflated_len;
	uint32_t crc;
	int result;
	struct error err;
	bool is_done; /* under the lock */
};

struct worker {
	struct gzip *gzip;
	struct deflater *deflater;
	pthread_t thread;
};

/* Pieces are numbered from 0; number n is at n % ring_size of the ring. */
struct gzip {
	struct encode_out out;
	unsigned thread_count; /* wanted */
	struct piece *ring;
	size_t ring_size;
	uint64_t first;  /* the oldest that is not written, the caller's alone */
	uint64_t last;   /* the one that is being filled, under the lock */
	uint64_t next;   /* that a worker takes, under the lock */
	uint32_t crc;    /* of what is written, with its length */
	uint32_t length; /* modulo 2^32, as the trailer has it */
	bool is_begun;   /* the header is written */
	bool is_ending;  /* workers end, under the lock */
	pthread_mutex_t lock;
	pthread_cond_t filled; /* there is work, or is_ending */
	pthread_cond_t done;
	struct worker workers[ENCODE_THREADS_MAX];
	unsigned worker_count;
	struct deflater *deflater; /* the caller's, where a piece needs no thread, or has none */
};

static struct piece *piece_at(const struct gzip *gzip, uint64_t number)
{
	return &gzip->ring[number % gzip->ring_size];
}

static void compress_piece(struct deflater *deflater, struct piece *piece)
{
	piece->crc = libdeflate_crc32(0, piece->data, piece->len);
	piece->result = deflate_piece(deflater, piece->data, piece->len, piece->deflated,
		&piece->deflated_len, &piece->err);
}

static void *work(void *data)
{
	struct worker *worker = data;
	struct gzip *gzip = worker->gzip;
	pthread_mutex_lock(&gzip->lock);
	for (;;) {
		while (!gzip->is_ending && gzip->next == gzip->last)
			pthread_cond_wait(&gzip->filled, &gzip->lock);
		if (gzip->is_ending)
			break;
		struct piece *piece = piece_at(gzip, gzip->next++);
		pthread_mutex_unlock(&gzip->lock);
		compress_piece(worker->deflater, piece);
		pthread_mutex_lock(&gzip->lock);
		piece->is_done = true;
		pthread_cond_signal(&gzip->done);
	}
	pthread_mutex_unlock(&gzip->lock);
	return NULL;
}

/* Ends the threads; pieces that none of them has taken stay as they are. */
static void end_workers(struct gzip *gzip)
{
	pthread_mutex_lock(&gzip->lock);
	gzip->is_ending = true;
	pthread_cond_broadcast(&gzip->filled);
	pthread_mutex_unlock(&gzip->lock);
	for (unsigned i = 0; i < gzip->worker_count; i++) {
		pthread_join(gzip->workers[i].thread, NULL);
		deflater_free(gzip->workers[i].deflater);
	}
	gzip->worker_count = 0;
}

/* Starts as many as there can be: a short stream needs none. */
static void start_workers(struct gzip *gzip)
{
	struct error err;
	for (unsigned i = 0; i < gzip->thread_count; i++) {
		struct worker *worker = &gzip->workers[i];
		worker->gzip = gzip;
		if (deflater_new(&worker->deflater, &err) < 0)
			return;
		if (pthread_create(&worker->thread, NULL, work, worker) != 0) {
			deflater_free(worker->deflater);
			return;
		}
		gzip->worker_count++;
	}
}

static void gzip_close(void *state)
{
	struct gzip *gzip = state;
	if (gzip == NULL)
		return;
	end_workers(gzip);
	for (size_t i = 0; i < gzip->ring_size; i++) {
		free(gzip->ring[i].data);
		free(gzip->ring[i].deflated);
	}
	free(gzip->ring);
	deflater_free(gzip->deflater);
	pthread_mutex_destroy(&gzip->lock);
	pthread_cond_destroy(&gzip->filled);
	pthread_cond_destroy(&gzip->done);
	free(gzip);
}

static int gzip_open(
	const struct encode_out *out, unsigned threads, void **state, struct error *err)
{
	(void)err;
	struct gzip *gzip = xcalloc(1, sizeof(*gzip));
	gzip->out = *out;
	gzip->thread_count = threads;
	gzip->ring_size = threads + PIECES_MORE;
	gzip->ring = xcalloc(gzip->ring_size, sizeof(*gzip->ring));
	pthread_mutex_init(&gzip->lock, NULL);
	pthread_cond_init(&gzip->filled, NULL);
	pthread_cond_init(&gzip->done, NULL);
	*state = gzip;
	return 0;
}

static int put(struct gzip *gzip, const void *data, size_t len, struct error *err)
{
	return gzip->out.write(gzip->out.context, data, len, err);
}

/* Deflate, no name and no time, on Unix: the bytes depend on the data alone. */
static int begin(struct gzip *gzip, struct error *err)
{
	static const uint8_t header[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
	if (gzip->is_begun)
		return 0;
	gzip->is_begun = true;
	return put(gzip, header, sizeof(header), err);
}

/* Writes the oldest piece, which is compressed. */
static int write_piece(struct gzip *gzip, struct error *err)
{
	struct piece *piece = piece_at(gzip, gzip->first);
	if (piece->result < 0) {
		*err = piece->err;
		return piece->result;
	}
	int r = begin(gzip, err);
	if (r == 0)
		r = put(gzip, piece->deflated, piece->deflated_len, err);
	if (r < 0)
		return r;
	gzip->crc = (uint32_t)crc32_combine(gzip->crc, piece->crc, (z_off_t)piece->len);
	gzip->length += (uint32_t)piece->len;
	piece->len = 0;
	piece->is_done = false;
	gzip->first++;
	return 0;
}

/* Compresses the piece that was filled without a thread. */
static int compress_here(struct gzip *gzip, struct error *err)
{
	int r = gzip->deflater != NULL ? 0 : deflater_new(&gzip->deflater, err);
	if (r < 0)
		return r;
	struct piece *piece = piece_at(gzip, gzip->last++);
	gzip->next++;
	compress_piece(gzip->deflater, piece);
	piece->is_done = true;
	return 0;
}

/* Gives the piece that was filled to a thread. */
static int hand_over(struct gzip *gzip, struct error *err)
{
	if (gzip->worker_count == 0)
		start_workers(gzip);
	if (gzip->worker_count == 0)
		return compress_here(gzip, err);
	pthread_mutex_lock(&gzip->lock);
	gzip->last++;
	pthread_cond_signal(&gzip->filled);
	pthread_mutex_unlock(&gzip->lock);
	return 0;
}

/* Whether the oldest piece is compressed. It is waited for where more than `most` are on their way.
 */
static bool await_oldest(struct gzip *gzip, uint64_t most)
{
	if (gzip->first == gzip->last)
		return false;
	const struct piece *piece = piece_at(gzip, gzip->first);
	pthread_mutex_lock(&gzip->lock);
	while (!piece->is_done && gzip->last - gzip->first > most)
		pthread_cond_wait(&gzip->done, &gzip->lock);
	bool is_done = piece->is_done;
	pthread_mutex_unlock(&gzip->lock);
	return is_done;
}

/* Writes what is compressed, until no more than `most` pieces are on their way. */
static int write_pieces(struct gzip *gzip, uint64_t most, struct error *err)
{
	int r = 0;
	while (r == 0 && await_oldest(gzip, most))
		r = write_piece(gzip, err);
	return r;
}

static int gzip_write(void *state, const void *data, size_t len, struct error *err)
{
	struct gzip *gzip = state;
	int r = 0;
	while (r == 0 && len > 0) {
		struct piece *piece = piece_at(gzip, gzip->last);
		if (piece->data == NULL) {
			piece->data = xmalloc(DEFLATE_PIECE);
			piece->deflated = xmalloc(deflate_piece_max());
		}
		size_t room = DEFLATE_PIECE - piece->len;
		size_t n = len < room ? len : room;
		memcpy(piece->data + piece->len, data, n);
		piece->len += n;
		data = (const uint8_t *)data + n;
		len -= n;
		if (piece->len < DEFLATE_PIECE)
			break;
		r = hand_over(gzip, err);
		/* One place of the ring is for the piece that is filled next. */
		if (r == 0)
			r = write_pieces(gzip, gzip->ring_size - 1, err);
	}
	return r;
}

static int gzip_finish(void *state, struct error *err)
{
	struct gzip *gzip = state;
	int r = 0;
	if (piece_at(gzip, gzip->last)->len > 0)
		r = gzip->worker_count > 0 ? hand_over(gzip, err) : compress_here(gzip, err);
	if (r == 0)
		r = write_pieces(gzip, 0, err);
	if (r == 0)
		r = begin(gzip, err);
	if (r < 0)
		return r;
	/* An empty last block of fixed codes, CRC32 and ISIZE. */
	uint8_t trailer[10] = {0x03, 0x00};
	for (unsigned i = 0; i < 4; i++) {
		trailer[2 + i] = (uint8_t)(gzip->crc >> 8 * i);
		trailer[6 + i] = (uint8_t)(gzip->length >> 8 * i);
	}
	return put(gzip, trailer, sizeof(trailer), err);
}

const struct encode_format encode_gzip = {
	.open = gzip_open,
	.write = gzip_write,
	.finish = gzip_finish,
	.close = gzip_close,
};
