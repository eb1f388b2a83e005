/* Pieces that go to another thread: all of them, in order, until one fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "support/buffer.h"
#include "support/memory.h"
#include "support/pump.h"

#define NEVER SIZE_MAX

/* What the pieces go to: keeps them, and fails at one of them. */
struct basin {
	struct buffer bytes;
	size_t pieces;
	size_t fails_at; /* the number of a piece, from 0, or NEVER */
};

static void basin_close(struct basin *basin)
{
	buffer_free(&basin->bytes);
}
#define cleanup_basin __attribute__((cleanup(basin_close)))

static int take(void *context, const uint8_t *data, size_t len, struct error *err)
{
	struct basin *basin = context;
	size_t piece = basin->pieces++;
	if (piece == basin->fails_at)
		return error_set(err, ERROR_OUTPUT, ENOSPC, "piece %zu is one too many", piece);
	buffer_add(&basin->bytes, data, len);
	return 0;
}

/* Pushes count pieces of the lengths in turn; each byte tells its place. Returns how many went. */
static size_t push(struct pump *pump, const size_t *lens, size_t count, struct buffer *pushed)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t *buffer = pump_buffer(pump);
		if (buffer == NULL)
			return i;
		for (size_t k = 0; k < lens[i]; k++)
			buffer[k] = (uint8_t)((k >> 8) + k + 31 * i);
		buffer_add(pushed, buffer, lens[i]);
		pump_push(pump, lens[i]);
	}
	return count;
}

static void test_all_arrives(void **state)
{
	(void)state;
	static const size_t lens[] = {1, RING_CHUNK, 0, 7, RING_CHUNK, RING_CHUNK, 2, 300, 4096, 5};
	for (size_t count = 0; count <= sizeof(lens) / sizeof(lens[0]); count++) {
		cleanup_basin struct basin basin = {.fails_at = NEVER};
		cleanup_buffer struct buffer pushed = {0};
		cleanup_pump struct pump *pump = pump_new(take, &basin);
		struct error err;
		assert_int_equal(push(pump, lens, count, &pushed), count);
		assert_int_equal(pump_finish(pump, &err), 0);
		assert_int_equal(basin.pieces, count);
		assert_int_equal(basin.bytes.len, pushed.len);
		if (pushed.len != 0)
			assert_memory_equal(basin.bytes.data, pushed.data, pushed.len);
	}
}

/* The maker is told soon, and nothing is taken after the piece that failed. */
static void test_failure(void **state)
{
	(void)state;
	size_t lens[100];
	for (size_t i = 0; i < 100; i++)
		lens[i] = 10 + i;
	for (size_t fails_at = 0; fails_at < 8; fails_at++) {
		cleanup_basin struct basin basin = {.fails_at = fails_at};
		cleanup_buffer struct buffer pushed = {0};
		cleanup_pump struct pump *pump = pump_new(take, &basin);
		cleanup_free char *expected = xasprintf("piece %zu is one too many", fails_at);
		struct error err;
		/* No more are under way than a ring has buffers, and the one that failed. */
		size_t went = push(pump, lens, 100, &pushed);
		assert_true(went > fails_at && went < fails_at + 10);
		assert_int_equal(pump_finish(pump, &err), -ENOSPC);
		assert_string_equal(err.message, expected);
		assert_int_equal(basin.pieces, fails_at + 1);
	}
}

/* A maker that has failed does not finish; nothing that was given to the thread is lost. */
static void test_freed_early(void **state)
{
	(void)state;
	static const size_t lens[] = {5, RING_CHUNK, 7, 0, 9};
	cleanup_basin struct basin basin = {.fails_at = NEVER};
	cleanup_buffer struct buffer pushed = {0};
	struct pump *pump = pump_new(take, &basin);
	assert_int_equal(push(pump, lens, 5, &pushed), 5);
	pump_free(pump);
	assert_int_equal(basin.pieces, 5);
	assert_int_equal(basin.bytes.len, pushed.len);
	assert_memory_equal(basin.bytes.data, pushed.data, pushed.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_arrives),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_freed_early),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
