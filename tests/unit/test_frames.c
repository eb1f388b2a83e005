#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "random_tree.h"
#include "support/buffer.h"
#include "support/memory.h"
#include "vm/frames.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROUNDS 60

/* Marks a frame that is to be kept back. */
#define BAD 0xbb

static bool is_good(const uint8_t *frame, size_t len)
{
	assert_true(len >= ETHERNET_HEADER && len <= FRAME_MAX);
	return frame[len - 1] != BAD;
}

static void add_frame(struct buffer *stream, uint32_t len, uint8_t byte)
{
	const uint8_t length[] = {
		(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
	cleanup_free uint8_t *frame = xmalloc(len + 1);
	memset(frame, byte, len + 1);
	buffer_add(stream, length, sizeof(length));
	buffer_add(stream, frame, len);
}

/* As much of the stream as there is room for, in a piece of at most so many bytes. */
static size_t put(struct frames *frames, const struct buffer *stream, size_t at, size_t most)
{
	size_t room;
	uint8_t *to = frames_room(frames, &room);
	size_t len = stream->len - at < most ? stream->len - at : most;
	len = len < room ? len : room;
	if (len > 0)
		memcpy(to, stream->data + at, len);
	frames_came(frames, len);
	return len;
}

static size_t frame_at(const uint8_t *p)
{
	return FRAME_LENGTH_SIZE +
	       ((size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
}

/* Whole frames, and no more of them than go in one write. */
static void check_piece(const uint8_t *piece, size_t len)
{
	size_t at = 0, count = 0;
	for (; at < len; count++)
		at += frame_at(piece + at);
	assert_int_equal(at, len);
	assert_true(len <= FRAMES_PIECE_MAX || count == 1);
}

/* Takes at most so many bytes of what is to go out; *cut: what is left of a piece taken in part. */
static void take(struct frames *frames, struct buffer *out, size_t most, size_t *cut)
{
	size_t len;
	const uint8_t *piece = frames_piece(frames, &len);
	if (*cut == 0)
		check_piece(piece, len);
	const size_t taken = len < most ? len : most;
	buffer_add(out, piece, taken);
	frames_went(frames, taken);
	/* What is cut off within a frame goes out alone. */
	size_t rest;
	frames_piece(frames, &rest);
	size_t at = *cut;
	if (at == 0 || taken >= at) {
		for (at = at == 0 ? 0 : at; at < taken;)
			at += frame_at(piece + at);
		*cut = at - taken;
	} else {
		*cut -= taken;
	}
	if (*cut > 0)
		assert_int_equal(rest, *cut);
}

static void run(const struct buffer *stream, bool (*allows)(const uint8_t *, size_t),
	struct random *random, uint32_t piece_max, struct buffer *out)
{
	cleanup_free struct frames *frames = xcalloc(1, sizeof(*frames));
	frames->allows = allows;
	size_t at = 0, cut = 0, waiting;
	do {
		at += put(frames, stream, at, 1 + random_below(random, piece_max));
		if (random_below(random, 3) != 0)
			take(frames, out, 1 + random_below(random, piece_max), &cut);
		frames_piece(frames, &waiting);
	} while (at < stream->len || waiting > 0);
}

static void compare(const struct buffer *out, const struct buffer *expected)
{
	assert_int_equal(out->len, expected->len);
	if (expected->len > 0)
		assert_memory_equal(out->data, expected->data, expected->len);
}

/* Lengths at every limit, each judged, each between two frames that show the place in the stream.
 */
static void test_lengths(void **state)
{
	static const struct {
		uint32_t len;
		uint8_t byte;
		bool expected;
	} cases[] = {
		{0, 1, false},
		{1, 1, false},
		{13, 1, false},
		{14, 1, true},
		{14, BAD, false},
		{60, 1, true},
		{60, BAD, false},
		{32764, 1, true},
		{32765, 1, true},
		{65535, BAD, false},
		{65548, 1, true},
		{65549, 1, true},
		{65549, BAD, false},
		{65550, 1, false},
		{131072, 1, false},
		{1000000, 1, false},
	};
	static const uint32_t piece_sizes[] = {1, 4, 1500, 65536, 262144};
	struct random random = {1};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (size_t j = cases[i].len > 100000 ? 2 : 0; j < COUNT(piece_sizes); j++) {
			cleanup_buffer struct buffer stream = {0}, expected = {0}, out = {0};
			add_frame(&stream, 20, 7);
			add_frame(&stream, cases[i].len, cases[i].byte);
			add_frame(&stream, 30, 8);
			add_frame(&expected, 20, 7);
			if (cases[i].expected)
				add_frame(&expected, cases[i].len, cases[i].byte);
			add_frame(&expected, 30, 8);
			run(&stream, is_good, &random, piece_sizes[j], &out);
			compare(&out, &expected);
		}
	}
}

/* A frame said to be of 4 GiB: nothing that comes is taken for another one, and there is room. */
static void test_endless(void **state)
{
	(void)state;
	cleanup_free struct frames *frames = xcalloc(1, sizeof(*frames));
	cleanup_buffer struct buffer stream = {0};
	buffer_add(&stream, "\xff\xff\xff\xff", 4);
	for (int i = 0; i < 100; i++)
		add_frame(&stream, 20, 7);
	for (int i = 0; i < 1000; i++) {
		size_t len;
		assert_int_equal(put(frames, &stream, 0, stream.len), stream.len);
		frames_piece(frames, &len);
		assert_int_equal(len, 0);
	}
}

/* What is not taken stops what comes, at a bound; once it is taken all is in order again. */
static void test_full(void **state)
{
	(void)state;
	cleanup_free struct frames *frames = xcalloc(1, sizeof(*frames));
	cleanup_buffer struct buffer stream = {0}, out = {0};
	size_t at = 0, cut = 0, n, room, len;
	for (uint8_t i = 0; i < 250; i++)
		add_frame(&stream, 1514, i);
	for (; (n = put(frames, &stream, at, 9000)) > 0; at += n)
		;
	assert_true(at >= FRAMES_SIZE - FRAME_MAX - FRAME_LENGTH_SIZE && at < FRAMES_SIZE);
	frames_room(frames, &room);
	assert_int_equal(room, 0);
	for (;;) {
		at += put(frames, &stream, at, 9000);
		frames_piece(frames, &len);
		if (len == 0)
			break;
		take(frames, &out, len, &cut);
	}
	compare(&out, &stream);
}

static uint32_t random_length(struct random *random)
{
	switch (random_below(random, 8)) {
	case 0:
		return random_below(random, 20);
	case 1:
		return FRAME_MAX - 3 + random_below(random, 6);
	case 2:
		return FRAME_MAX + random_below(random, 100000);
	case 3:
		return random_below(random, 65536);
	default:
		return 42 + random_below(random, 1500);
	}
}

static void test_random(void **state)
{
	struct random random = {random_seed()};
	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		cleanup_buffer struct buffer stream = {0}, expected = {0}, all = {0}, out = {0};
		for (uint32_t j = random_below(&random, 60); j > 0; j--) {
			const uint32_t len = random_length(&random);
			const uint8_t byte = random_below(&random, 3) == 0
						     ? BAD
						     : (uint8_t)random_below(&random, BAD);
			const bool fits = len >= ETHERNET_HEADER && len <= FRAME_MAX;
			add_frame(&stream, len, byte);
			if (fits)
				add_frame(&all, len, byte);
			if (fits && byte != BAD)
				add_frame(&expected, len, byte);
		}
		const uint32_t piece_max = 1U << (6 + random_below(&random, 13));
		run(&stream, is_good, &random, piece_max, &out);
		compare(&out, &expected);
		buffer_consume(&out, out.len);
		run(&stream, NULL, &random, piece_max, &out);
		compare(&out, &all);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
