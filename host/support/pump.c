#include "support/pump.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "support/memory.h"

struct pump {
	int (*take)(void *context, const uint8_t *data, size_t len, struct error *err);
	void *context;
	struct ring *ring;
	/* The thread's alone until it has ended. */
	int result;
	struct error err;
	/* The maker's alone. */
	bool has_thread;
	pthread_t thread;
};

struct pump *pump_new(
	int (*take)(void *context, const uint8_t *data, size_t len, struct error *err),
	void *context)
{
	struct pump *pump = xcalloc(1, sizeof(*pump));
	pump->take = take;
	pump->context = context;
	pump->ring = ring_new();
	return pump;
}

static void take_piece(struct pump *pump, const uint8_t *data, size_t len)
{
	pump->result = pump->take(pump->context, data, len, &pump->err);
	if (pump->result < 0)
		ring_stop(pump->ring);
	ring_release(pump->ring);
}

/* Takes the buffers in order until there are no more. */
static void *work(void *data)
{
	struct pump *pump = data;
	const uint8_t *bytes;
	size_t len;
	while (pump->result == 0 && (bytes = ring_next(pump->ring, &len)) != NULL)
		take_piece(pump, bytes, len);
	return NULL;
}

/*
 * The thread is started for the second buffer: most layers of many-layered images fit into one.
 * Where there can be no thread, the maker takes what it has made.
 */
static void make_way(struct pump *pump)
{
	if (pump->has_thread || ring_waiting(pump->ring) == 0)
		return;
	pump->has_thread = pthread_create(&pump->thread, NULL, work, pump) == 0;
	if (pump->has_thread)
		return;
	size_t len;
	const uint8_t *bytes = ring_next(pump->ring, &len);
	take_piece(pump, bytes, len);
}

void *pump_buffer(struct pump *pump)
{
	make_way(pump);
	return ring_buffer(pump->ring);
}

void pump_push(struct pump *pump, size_t len)
{
	ring_push(pump->ring, len);
}

int pump_finish(struct pump *pump, struct error *err)
{
	ring_close(pump->ring);
	if (pump->has_thread)
		pthread_join(pump->thread, NULL);
	else
		work(pump);
	pump->has_thread = false;
	if (pump->result < 0)
		*err = pump->err;
	return pump->result;
}

void pump_free(struct pump *pump)
{
	if (pump == NULL)
		return;
	struct error unseen;
	if (pump->has_thread)
		pump_finish(pump, &unseen);
	ring_free(pump->ring);
	free(pump);
}
