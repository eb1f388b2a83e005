#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/memory.h"
#include "vm/packets.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define FRAME_SIZE 98
#define PACKET (ETHERNET_HEADER)
#define TOTAL (FRAME_SIZE - ETHERNET_HEADER)
#define ETHER_TYPE_ARP_BYTES 0x08, 0x06

/* A UDP packet for 192.0.2.1 that may leave. */
static void make_frame(uint8_t frame[FRAME_SIZE])
{
	static const uint8_t headers[] = {0x52, 0x55, 0x0a, 0x00, 0x02, 0x02, 0x52, 0x54, 0x00,
		0x12, 0x34, 0x56, /* to, from */
		0x08, 0x00,       /* IPv4 */
		0x45, 0x00, 0x00, TOTAL, 0x00, 0x01, 0x40, 0x00, 0x40, 17, 0x00, 0x00, 198, 51, 100,
		2, 192, 0, 2, 1};
	memset(frame, 0x5a, FRAME_SIZE);
	memcpy(frame, headers, sizeof(headers));
}

/* A copy in memory of just its size, so that a sanitizer sees a read behind it. */
static bool may_leave(const uint8_t *frame, size_t len)
{
	cleanup_free uint8_t *copy = xmemdup(frame, len);
	return packet_may_leave(copy, len);
}

static void test_destinations(void **state)
{
	static const struct {
		uint8_t address[4];
		bool expected;
	} cases[] = {
		{{0, 0, 0, 0}, false},
		{{0, 0, 0, 1}, false},
		{{0, 255, 255, 255}, false},
		{{1, 0, 0, 0}, true},
		{{10, 0, 0, 1}, true},
		{{126, 255, 255, 255}, true},
		{{127, 0, 0, 0}, false},
		{{127, 0, 0, 1}, false},
		{{127, 0, 0, 2}, false},
		{{127, 0, 0, 53}, false},
		{{127, 255, 255, 255}, false},
		{{128, 0, 0, 0}, true},
		{{169, 254, 169, 254}, true},
		{{192, 168, 0, 255}, true},
		{{198, 51, 100, 1}, true},
		{{198, 51, 100, 3}, true},
		{{223, 255, 255, 255}, true},
		{{224, 0, 0, 0}, false},
		{{224, 0, 0, 251}, false},
		{{239, 255, 255, 255}, false},
		{{240, 0, 0, 0}, false},
		{{255, 255, 255, 254}, false},
		{{255, 255, 255, 255}, false},
	};
	/* Whatever else the header says: whole, a first fragment, one from the middle, options. */
	static const struct {
		uint8_t version_header;
		uint8_t flags_offset[2];
		uint8_t protocol;
	} shapes[] = {
		{0x45, {0x40, 0x00}, 17},
		{0x45, {0x20, 0x00}, 17},
		{0x45, {0x20, 0xb9}, 6},
		{0x45, {0x1f, 0xff}, 1},
		{0x46, {0x00, 0x00}, 6},
		{0x4f, {0x00, 0x00}, 255},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (size_t j = 0; j < COUNT(shapes); j++) {
			uint8_t frame[FRAME_SIZE];
			make_frame(frame);
			frame[PACKET] = shapes[j].version_header;
			memcpy(frame + PACKET + 6, shapes[j].flags_offset, 2);
			frame[PACKET + 9] = shapes[j].protocol;
			memcpy(frame + PACKET + 16, cases[i].address, 4);
			if (may_leave(frame, sizeof(frame)) != cases[i].expected)
				fail_msg("%u.%u.%u.%u, shape %zu", cases[i].address[0],
					cases[i].address[1], cases[i].address[2],
					cases[i].address[3], j);
		}
	}
}

/* Where a frame is changed, and how. */
struct change {
	size_t at;
	size_t len;
	uint8_t bytes[6];
};

static void test_shapes(void **state)
{
	static const struct {
		const char *name;
		struct change change;
		size_t len;
		bool expected;
	} cases[] = {
		{"as it is", {0}, FRAME_SIZE, true},
		{"empty", {0}, 0, false},
		{"one byte", {0}, 1, false},
		{"cut in the Ethernet header", {0}, 13, false},
		{"an Ethernet header", {0}, 14, false},
		{"cut before its last byte", {0}, FRAME_SIZE - 1, false},
		{"cut in the IPv4 header", {PACKET + 2, 2, {0, 20}}, 33, false},
		{"an IPv4 header and nothing else", {PACKET + 2, 2, {0, 20}}, 34, true},
		{"bytes behind the packet", {PACKET + 2, 2, {0, 28}}, FRAME_SIZE, true},
		{"total length of less than the header", {PACKET + 2, 2, {0, 19}}, FRAME_SIZE,
			false},
		{"total length 0", {PACKET + 2, 2, {0, 0}}, FRAME_SIZE, false},
		{"total length of a byte too many", {PACKET + 2, 2, {0, TOTAL + 1}}, FRAME_SIZE,
			false},
		{"total length of 256 too many", {PACKET + 2, 2, {1, TOTAL}}, FRAME_SIZE, false},
		{"IHL 4", {PACKET, 1, {0x44}}, FRAME_SIZE, false},
		{"IHL 0", {PACKET, 1, {0x40}}, FRAME_SIZE, false},
		{"IHL 15", {PACKET, 1, {0x4f}}, FRAME_SIZE, true},
		{"IHL 15 with total length 60", {PACKET, 4, {0x4f, 0, 0, 60}}, 74, true},
		{"IHL 15 with total length 59", {PACKET, 4, {0x4f, 0, 0, 59}}, 74, false},
		{"IHL 6 with total length 23", {PACKET, 4, {0x46, 0, 0, 23}}, FRAME_SIZE, false},
		{"version 6", {PACKET, 1, {0x65}}, FRAME_SIZE, false},
		{"version 0", {PACKET, 1, {0x05}}, FRAME_SIZE, false},
		{"version 5", {PACKET, 1, {0x55}}, FRAME_SIZE, false},
		{"ARP", {12, 2, {ETHER_TYPE_ARP_BYTES}}, 42, true},
		{"ARP, padded", {12, 2, {ETHER_TYPE_ARP_BYTES}}, 60, true},
		{"ARP, cut", {12, 2, {ETHER_TYPE_ARP_BYTES}}, 41, false},
		{"IPv6", {12, 3, {0x86, 0xdd, 0x60}}, FRAME_SIZE, false},
		{"IPv6's type with IPv4 in it", {12, 2, {0x86, 0xdd}}, FRAME_SIZE, false},
		{"VLAN", {12, 6, {0x81, 0x00, 0x00, 0x01, 0x08, 0x00}}, FRAME_SIZE, false},
		{"VLAN of 802.1ad", {12, 6, {0x88, 0xa8, 0x00, 0x01, 0x08, 0x00}}, FRAME_SIZE,
			false},
		{"802.3 with a length", {12, 2, {0x00, TOTAL}}, FRAME_SIZE, false},
		{"RARP", {12, 2, {0x80, 0x35}}, FRAME_SIZE, false},
		{"the type in the other byte order", {12, 2, {0x00, 0x08}}, FRAME_SIZE, false},
		{"sent to all stations", {0, 6, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, FRAME_SIZE,
			true},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t frame[FRAME_SIZE];
		make_frame(frame);
		memcpy(frame + cases[i].change.at, cases[i].change.bytes, cases[i].change.len);
		if (may_leave(frame, cases[i].len) != cases[i].expected)
			fail_msg("%s: %s", cases[i].name,
				cases[i].expected ? "kept back" : "let through");
	}
}

/* The longest packet that IPv4 has, and a frame in which more follows it. */
static void test_longest(void **state)
{
	(void)state;
	cleanup_free uint8_t *frame = xcalloc(1, 65550);
	make_frame(frame);
	memset(frame + PACKET + 2, 0xff, 2);
	assert_false(may_leave(frame, 65548));
	assert_true(may_leave(frame, 65549));
	assert_true(may_leave(frame, 65550));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_longest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
