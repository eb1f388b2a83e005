#include "support/ring.h"

#include <pthread.h>
#include <stdbool.h>

#include "support/memory.h"

/* Enough for either side to be late for once. */
#define BUFFERS 4u

struct ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint8_t *buffers[BUFFERS]; /* each made when it is needed first */
	size_t lens[BUFFERS];
	size_t pushed; /* buffers handed on so far; the next one is pushed % BUFFERS */
	size_t taken;  /* buffers given back so far */
	bool closed;   /* no more is pushed */
	bool stopped;  /* no more is taken */
};

struct ring *ring_new(void)
{
	struct ring *ring = xcalloc(1, sizeof(*ring));
	pthread_mutex_init(&ring->lock, NULL);
	pthread_cond_init(&ring->changed, NULL);
	return ring;
}

void *ring_buffer(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	while (ring->pushed - ring->taken == BUFFERS && !ring->stopped)
		pthread_cond_wait(&ring->changed, &ring->lock);
	bool stopped = ring->stopped;
	uint8_t **buffer = &ring->buffers[ring->pushed % BUFFERS];
	pthread_mutex_unlock(&ring->lock);
	if (stopped)
		return NULL;
	if (*buffer == NULL)
		*buffer = xmalloc(RING_CHUNK);
	return *buffer;
}

void ring_push(struct ring *ring, size_t len)
{
	pthread_mutex_lock(&ring->lock);
	ring->lens[ring->pushed++ % BUFFERS] = len;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

void ring_close(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	ring->closed = true;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

size_t ring_waiting(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	size_t waiting = ring->pushed - ring->taken;
	pthread_mutex_unlock(&ring->lock);
	return waiting;
}

const uint8_t *ring_next(struct ring *ring, size_t *len)
{
	const uint8_t *bytes = NULL;
	*len = 0;
	pthread_mutex_lock(&ring->lock);
	while (ring->pushed == ring->taken && !ring->closed)
		pthread_cond_wait(&ring->changed, &ring->lock);
	if (ring->pushed != ring->taken) {
		bytes = ring->buffers[ring->taken % BUFFERS];
		*len = ring->lens[ring->taken % BUFFERS];
	}
	pthread_mutex_unlock(&ring->lock);
	return bytes;
}

void ring_release(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	ring->taken++;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

void ring_stop(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	ring->stopped = true;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

void ring_free(struct ring *ring)
{
	if (ring == NULL)
		return;
	for (size_t i = 0; i < BUFFERS; i++)
		free(ring->buffers[i]);
	pthread_cond_destroy(&ring->changed);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}
