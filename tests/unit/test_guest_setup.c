/*
 * What surrounds a run, from the host's request to what the guest's init makes of it: both sides
 * of the protocol, without a guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "setup.h"
#include "support/memory.h"
#include "vm/request.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void free_mounts(struct setup *setup)
{
	for (size_t i = 0; i < setup->mounts.count; i++)
		free(setup->mounts.entries[i].path);
}

/* Whether init's job takes a frame itself, for the whole guest. */
static bool is_of_guest(unsigned type)
{
	return type == FRAME_CLOCK || type == FRAME_ENTROPY;
}

/* Gives init all frames of a request about the run's surroundings, and compares what it takes them
 * for. */
static void test_both_sides(void **state)
{
	static const struct vm_network network = {.fd = -1,
		.address = {198, 51, 100, 2},
		.gateway = {198, 51, 100, 1},
		.prefix = 24,
		.mtu = 65520};
	static const struct vm_mount mounts[] = {
		{.kind = VM_MOUNT_DISK, .disk = 0, .read_only = true, .path = "/a"},
		{.kind = VM_MOUNT_TMPFS, .size_mib = 64, .path = "/a/b"},
		{.kind = VM_MOUNT_DISK, .disk = 7, .path = "/c"},
	};
	const struct vm_options options = {
		.network = &network, .mounts = mounts, .mount_count = COUNT(mounts)};
	struct error err;
	struct fault fault = {0};
	struct setup setup = {0};
	cleanup_buffer struct buffer bytes = {0};
	cleanup_buffer struct buffer got = {0};
	(void)state;
	assert_int_equal(request_put_setup(&bytes, &options, &err), 0);
	for (size_t at = 0; at < bytes.len;) {
		struct frame_header header = frame_header_get(bytes.data + at);
		assert_true(frame_header_valid(&header));
		at += FRAME_HEADER_SIZE;
		const struct frame frame = {.type = header.type,
			.length = header.length,
			.payload = (char *)bytes.data + at};
		if (!is_of_guest(header.type) && setup_take(&setup, &frame, &fault) < 0)
			fail_msg("%s", fault.text);
		at += header.length;
	}
	assert_true(setup.network.wanted);
	assert_memory_equal(setup.network.address, network.address, 4);
	assert_memory_equal(setup.network.gateway, network.gateway, 4);
	assert_int_equal(setup.network.prefix, 24);
	assert_int_equal(setup.network.mtu, 65520);
	for (size_t i = 0; i < setup.mounts.count; i++) {
		const struct mount_entry *entry = &setup.mounts.entries[i];
		buffer_printf(&got, "%d %u %s %s\n", (int)entry->kind, entry->number,
			entry->read_only ? "ro" : "rw", entry->path);
	}
	cleanup_free char *text = buffer_steal_text(&got);
	assert_string_equal(text, "1 1 ro /a\n2 64 rw /a/b\n1 8 rw /c\n");
	free_mounts(&setup);
}

struct bad_case {
	enum frame_type type;
	const char *bytes;
	uint32_t len;
};

#define BAD(type, bytes)                                                                           \
	{                                                                                          \
		type, bytes, sizeof(bytes) - 1                                                     \
	}

/* Frames that no host of ours sends: refused, and nothing is read past their ends. */
static void test_refused(void **state)
{
	static const struct bad_case cases[] = {
		BAD(FRAME_CWD, "/"),
		BAD(FRAME_NETWORK, ""),
		BAD(FRAME_NETWORK, "\1\2\3\4\030\0\0\0\1\2\3\4\0\0\0"),
		BAD(FRAME_NETWORK, "\1\2\3\4\0\0\0\0\1\2\3\4\0\1\0\0"),
		BAD(FRAME_NETWORK, "\1\2\3\4\041\0\0\0\1\2\3\4\0\1\0\0"),
		BAD(FRAME_MOUNT, ""),
		BAD(FRAME_MOUNT, "\1\0\0\0\1\0\0\0\0\0\0\0"),
		BAD(FRAME_MOUNT, "\0\0\0\0\1\0\0\0\0\0\0\0/x"),
		BAD(FRAME_MOUNT, "\3\0\0\0\1\0\0\0\0\0\0\0/x"),
		BAD(FRAME_MOUNT, "\1\0\0\0\0\0\0\0\0\0\0\0/x"),
		BAD(FRAME_MOUNT, "\1\0\0\0\032\0\0\0\0\0\0\0/x"),
		BAD(FRAME_SECRET, ""),
		BAD(FRAME_SECRET, "\1\0\0"),
		BAD(FRAME_SECRET, "\0\0\0\0x"),
		BAD(FRAME_SECRET, "\2\0\0\0x"),
		BAD(FRAME_SECRET, "\377\377\377\377x"),
		BAD(FRAME_SECRET, "\1\0\0\0.x"),
		BAD(FRAME_SECRET, "\2\0\0\0..x"),
		BAD(FRAME_SECRET, "\3\0\0\0a/bx"),
		BAD(FRAME_SECRET, "\3\0\0\0a\0bx"),
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct setup setup = {0};
		struct fault fault = {0};
		/* In memory of just its size, for the sanitizer to see a step too far. */
		cleanup_free char *payload = xmalloc(cases[i].len);
		memcpy(payload, cases[i].bytes, cases[i].len);
		const struct frame frame = {
			.type = cases[i].type, .length = cases[i].len, .payload = payload};
		if (setup_take(&setup, &frame, &fault) >= 0 || fault.text[0] == '\0')
			fail_msg("case %zu was taken", i);
		assert_false(setup.network.wanted);
		assert_int_equal(setup.mounts.count, 0);
		assert_false(setup.secrets.any);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_sides),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
