/* Overlays: what QEMU says of them, and what is said of broken ones. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "disk/disk.h"
#include "disk/overlay.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

#include "random_tree.h"
#include "skips.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static struct random rnd;

/* Runs a program on the file, which is inherited as descriptor 3. Returns its exit status. */
static int run(char *const argv[], int fd, struct buffer *out)
{
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int file = fcntl(fd, F_DUPFD, 10);
		dup2(pipes[1], STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		dup2(file, 3);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(pipes[1]);
	struct error err;
	assert_int_equal(file_read_all(pipes[0], 16 * MIB, out, argv[0], &err), 0);
	close(pipes[0]);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void check_qemu_img(void)
{
	cleanup_buffer struct buffer out = {0};
	if (run((char *[]){"qemu-img", "--version", NULL}, 0, &out) == 127)
		skip_test("qemu-img");
}

static int new_file(void)
{
	int fd = memfd_create("overlay", MFD_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void create_is_sound(void **state)
{
	(void)state;
	check_qemu_img();
	static const uint64_t sizes[] = {
		4096, 2 * MIB, 2 * MIB + 4096, 5 * GIB + 8192, OVERLAY_SIZE_MAX};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct error err;
		cleanup_close int fd = new_file();
		assert_int_equal(overlay_create(fd, sizes[i], &err), 0);

		cleanup_buffer struct buffer check = {0};
		char *const check_argv[] = {
			"qemu-img", "check", "-U", "-f", "qcow2", "/dev/fd/3", NULL};
		int status = run(check_argv, fd, &check);
		cleanup_free char *said = buffer_steal_text(&check);
		if (status != 0)
			print_message("%s\n", said);
		assert_int_equal(status, 0);
		assert_non_null(strstr(said, "No errors were found"));

		cleanup_buffer struct buffer info = {0};
		char *const info_argv[] = {"qemu-img", "info", "-U", "--output=json", "-f", "qcow2",
			"/dev/fd/3", NULL};
		assert_int_equal(run(info_argv, fd, &info), 0);
		cleanup_free char *json = buffer_steal_text(&info);
		char wanted[64];
		snprintf(wanted, sizeof(wanted), "\"virtual-size\": %llu,",
			(unsigned long long)sizes[i]);
		assert_non_null(strstr(json, wanted));
		assert_non_null(strstr(json, "\"cluster-size\": 4096"));
		assert_non_null(strstr(json, "\"refcount-bits\": 16"));
		assert_null(strstr(json, "backing"));

		cleanup_overlay struct overlay *o = NULL;
		assert_int_equal(overlay_open(fd, &o, &err), 0);
		assert_int_equal(overlay_size(o), sizes[i]);
		for (uint64_t block = 0; block < sizes[i] / 4096; block += 511)
			assert_false(overlay_holds(o, block));
		assert_false(overlay_holds(o, UINT64_MAX));
	}
}

static void create_refuses_sizes(void **state)
{
	(void)state;
	static const uint64_t sizes[] = {0, 1, 4095, 4097, OVERLAY_SIZE_MAX + 4096, UINT64_MAX};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct error err;
		cleanup_close int fd = new_file();
		assert_int_equal(overlay_create(fd, sizes[i], &err), -EINVAL);
		assert_int_equal(err.kind, ERROR_INTERNAL);
	}
}

/* What the test expects of each block: a byte that fills it, or one of these. */
#define EXPECT_BASE (-1)
#define EXPECT_ZERO (-2)
#define MAP_BLOCKS 2048

/* Random writes by qemu-io: data, zeros, and what is thrown away again. */
static void write_by_qemu(int fd, int expected[MAP_BLOCKS])
{
	char *argv[8 + 2 * 24 + 1] = {"qemu-io", "-f", "qcow2", "-d", "unmap", "/dev/fd/3"};
	size_t argc = 6;
	for (size_t i = 0; i < MAP_BLOCKS; i++)
		expected[i] = EXPECT_BASE;
	for (int i = 0; i < 24; i++) {
		uint32_t first = random_below(&rnd, MAP_BLOCKS);
		uint32_t count = 1 + random_below(&rnd, i < 4 ? 600 : 9);
		if (count > MAP_BLOCKS - first)
			count = MAP_BLOCKS - first;
		bool zero = random_below(&rnd, 4) == 0;
		int byte = 1 + (int)random_below(&rnd, 255);
		for (uint32_t b = first; b < first + count; b++)
			expected[b] = zero ? EXPECT_ZERO : byte;
		argv[argc++] = "-c";
		argv[argc++] =
			zero ? xasprintf("write -z %u %u", first * 4096, count * 4096)
			     : xasprintf("write -P %d %u %u", byte, first * 4096, count * 4096);
	}
	cleanup_buffer struct buffer out = {0};
	int status = run(argv, fd, &out);
	if (status != 0)
		print_message("%.*s\n", (int)out.len, (const char *)out.data);
	assert_int_equal(status, 0);
	for (size_t i = 7; i < argc; i += 2)
		free(argv[i]);
}

static void map_agrees_with_qemu(void **state)
{
	(void)state;
	check_qemu_img();
	rnd.state = random_seed();
	for (int round = 0; round < 4; round++) {
		struct error err;
		cleanup_close int fd = new_file();
		int expected[MAP_BLOCKS];
		assert_int_equal(overlay_create(fd, MAP_BLOCKS * 4096, &err), 0);
		write_by_qemu(fd, expected);

		cleanup_overlay struct overlay *o = NULL;
		assert_int_equal(overlay_open(fd, &o, &err), 0);
		uint64_t at[MAP_BLOCKS] = {0};
		for (uint64_t b = 0; b < MAP_BLOCKS; b++) {
			enum overlay_place place = overlay_lookup(o, b, &at[b]);
			uint8_t data[4096];
			switch (expected[b]) {
			case EXPECT_BASE:
				assert_int_equal(place, OVERLAY_BASE);
				break;
			case EXPECT_ZERO:
				assert_int_equal(place, OVERLAY_ZERO);
				break;
			default:
				assert_int_equal(place, OVERLAY_DATA);
				assert_int_equal(overlay_read(o, data, 4096, at[b], &err), 0);
				for (size_t i = 0; i < sizeof(data); i++)
					assert_int_equal(data[i], expected[b]);
			}
		}

		/* One line an extent, with the place in the file where there is data. */
		cleanup_buffer struct buffer out = {0};
		char *const argv[] = {
			"qemu-img", "map", "-U", "--output=json", "-f", "qcow2", "/dev/fd/3", NULL};
		assert_int_equal(run(argv, fd, &out), 0);
		cleanup_free char *json = buffer_steal_text(&out);
		uint64_t covered = 0;
		char *save = NULL;
		for (char *line = strtok_r(json, "\n", &save); line != NULL;
			line = strtok_r(NULL, "\n", &save)) {
			unsigned long long start, length, offset = 0;
			const char *fields = strchr(line, '{');
			const char *place = strstr(line, "\"offset\": ");
			assert_non_null(fields);
			assert_int_equal(sscanf(fields, "{ \"start\": %llu, \"length\": %llu",
						 &start, &length),
				2);
			bool data = strstr(line, "\"data\": true") != NULL;
			assert_int_equal(start, covered);
			covered += length;
			if (data)
				assert_int_equal(sscanf(place, "\"offset\": %llu", &offset), 1);
			for (uint64_t b = start / 4096; b < covered / 4096; b++) {
				assert_int_equal(data, expected[b] >= 0);
				if (data)
					assert_int_equal(at[b], offset + b * 4096 - start);
			}
		}
		assert_int_equal(covered, MAP_BLOCKS * 4096);
	}
}

/*
 * A small image by hand: 4 MiB, with L1 at 0x3000, one L2 table at 0x4000, whose block 1 is at
 * 0x5000; the file ends 100 bytes into that cluster.
 */
static int small_image(void)
{
	struct error err;
	int fd = new_file();
	static const uint8_t l1_entry[] = {0x80, 0, 0, 0, 0, 0, 0x40, 0};
	static const uint8_t l2_entry[] = {0x80, 0, 0, 0, 0, 0, 0x50, 0};
	uint8_t data[100];
	memset(data, 7, sizeof(data));
	assert_int_equal(overlay_create(fd, 4 * MIB, &err), 0);
	assert_int_equal(file_write_at(fd, l1_entry, 8, 0x3000, "test", &err), 0);
	assert_int_equal(file_write_at(fd, l2_entry, 8, 0x4008, "test", &err), 0);
	assert_int_equal(file_write_at(fd, data, sizeof(data), 0x5000, "test", &err), 0);
	return fd;
}

static void short_last_cluster_is_zeros(void **state)
{
	(void)state;
	struct error err;
	cleanup_close int fd = small_image();
	cleanup_overlay struct overlay *o = NULL;
	assert_int_equal(overlay_open(fd, &o, &err), 0);
	uint64_t at = 0;
	assert_int_equal(overlay_lookup(o, 0, &at), OVERLAY_BASE);
	assert_int_equal(overlay_lookup(o, 1, &at), OVERLAY_DATA);
	assert_int_equal(at, 0x5000);
	uint8_t data[4096];
	assert_int_equal(overlay_read(o, data, sizeof(data), at, &err), 0);
	for (size_t i = 0; i < sizeof(data); i++)
		assert_int_equal(data[i], i < 100 ? 7 : 0);
	assert_int_equal(overlay_read(o, data, 10, at + 200, &err), 0);
	assert_int_equal(data[0], 0);
}

struct broken {
	uint64_t offset;
	uint8_t len;
	uint64_t value;
	const char *words; /* NULL: no error */
};

static void broken_fields(void **state)
{
	(void)state;
	static const struct broken table[] = {
		{0, 4, 0x514649fa, "magic"},
		{4, 4, 2, "version is 2, expected 3"},
		{8, 8, 0x200, "backing file name's offset"},
		{16, 4, 5, "backing file name's length"},
		{20, 4, 16, "cluster bits is 16, expected 12"},
		{24, 8, 0, "size is 0"},
		{24, 8, 4 * MIB + 512, "size is"},
		{24, 8, OVERLAY_SIZE_MAX + 4096, "size is"},
		{24, 8, 4 * MIB + 4096, "L1 table has 2 entries, expected at least 3"},
		{24, 8, 4096, NULL},
		{32, 4, 1, "encryption method is 1"},
		{36, 4, 0, "L1 table has 0 entries"},
		{36, 4, 1, "L1 table has 1 entries, expected at least 2"},
		{36, 4, 0xffffffff, NULL},
		{40, 8, 0, "begins no cluster"},
		{40, 8, 0x3001, "begins no cluster"},
		{40, 8, 0x6000, "but the file has"},
		{40, 8, 0xfffffffffffff000, "but the file has"},
		{60, 4, 1, "number of snapshots"},
		{72, 8, 1, "dirty bit"},
		{72, 8, 2, "corrupt"},
		{72, 8, 4, "external file"},
		{72, 8, 8, "compression"},
		{72, 8, 16, "extended L2"},
		{72, 8, 32, "unknown feature"},
		{72, 8, 1ull << 63, "unknown feature"},
		{80, 8, 1, NULL},
		{88, 8, 3, NULL},
		{96, 4, 5, "refcount order"},
		{100, 4, 96, "its length is 96"},
		{100, 4, 4097, "its length is 4097"},
		{0x3000, 8, 0x8000000000005000, "but the file has"},
		{0x3000, 8, 0x8000000000004200, "begins no cluster"},
		{0x3000, 8, 0x8000000000004001, "reserved bits"},
		{0x3000, 8, 0x4000000000004000, "reserved bits"},
		{0x3000, 8, 0x8000000000006000, "but the file has"},
		{0x3000, 8, 0x00fffffffffff000, "but the file has"},
		{0x3000, 8, 0, NULL},
		{0x4008, 8, 0xc000000000005000, "block 1 is compressed"},
		{0x4008, 8, 0x8000000000005002, "reserved bits"},
		{0x4008, 8, 0x8100000000005000, "reserved bits"},
		{0x4008, 8, 0x8000000000005200, "begins no cluster"},
		{0x4008, 8, 0x8000000000006000, "but the file has"},
		{0x4008, 8, 1, NULL},
		{0x4ff8, 8, 0x8000000000006000, "block 511 is at byte 24576"},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const struct broken *b = &table[i];
		struct error err;
		cleanup_close int fd = small_image();
		uint8_t bytes[8];
		for (unsigned n = 0; n < b->len; n++)
			bytes[n] = (uint8_t)(b->value >> (8 * (b->len - 1 - n)));
		assert_int_equal(file_write_at(fd, bytes, b->len, b->offset, "test", &err), 0);
		cleanup_overlay struct overlay *o = NULL;
		int r = overlay_open(fd, &o, &err);
		if (b->words == NULL) {
			if (r != 0)
				fail_msg("case %zu: %s", i, err.message);
			continue;
		}
		if (r == 0)
			fail_msg("case %zu was taken, expected '%s'", i, b->words);
		assert_null(o);
		assert_int_equal(err.kind, ERROR_INPUT);
		if (strstr(err.message, b->words) == NULL)
			fail_msg("case %zu: '%s' has no '%s'", i, err.message, b->words);
	}
}

/* The table's end is past 2^64. */
static void l1_table_wraps_around(void **state)
{
	(void)state;
	static const uint8_t offset[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0, 0};
	struct error err;
	cleanup_close int fd = new_file();
	cleanup_overlay struct overlay *o = NULL;
	assert_int_equal(overlay_create(fd, OVERLAY_SIZE_MAX, &err), 0);
	assert_int_equal(file_write_at(fd, offset, sizeof(offset), 40, "test", &err), 0);
	assert_int_equal(overlay_open(fd, &o, &err), -EINVAL);
	assert_non_null(strstr(err.message, "L1 table 0 is at byte 18446744073709547520"));
}

static void truncated_anywhere(void **state)
{
	(void)state;
	struct error err;
	for (off_t size = 0x5000; size >= 0; size -= size > 0x200 ? 0x111 : 7) {
		cleanup_close int fd = small_image();
		assert_int_equal(ftruncate(fd, size), 0);
		cleanup_overlay struct overlay *o = NULL;
		assert_true(overlay_open(fd, &o, &err) < 0);
		assert_int_equal(err.kind, ERROR_INPUT);
	}
}

static void put_byte(int fd, uint64_t offset, uint8_t byte)
{
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
}

/* Whatever the bytes say: an error, or a map whose data is inside the file. */
static void random_bytes(void **state)
{
	(void)state;
	rnd.state = random_seed();
	cleanup_close int fd = small_image();
	static uint8_t image[0x6000];
	struct error err;
	assert_int_equal(ftruncate(fd, sizeof(image)), 0);
	assert_int_equal(file_read_at(fd, image, sizeof(image), 0, "test", &err), 0);
	static const uint32_t regions[][2] = {{0, 104}, {0x3000, 16}, {0x4000, 4096}};
	unsigned taken = 0;
	for (int i = 0; i < 20000; i++) {
		uint64_t where[4];
		for (int n = 0; n < 4; n++) {
			const uint32_t *region = regions[random_below(&rnd, 3)];
			where[n] = region[0] + random_below(&rnd, region[1]);
			uint32_t byte = random_below(&rnd, 2) ? random_below(&rnd, 256)
							      : 1u << random_below(&rnd, 8);
			if (n == 0 || random_below(&rnd, 3) == 0)
				put_byte(fd, where[n], (uint8_t)byte);
		}
		cleanup_overlay struct overlay *o = NULL;
		if (overlay_open(fd, &o, &err) == 0) {
			taken++;
			for (uint64_t b = 0; b < 1024; b++) {
				uint64_t at = 0;
				if (overlay_lookup(o, b, &at) == OVERLAY_DATA)
					assert_true(at < sizeof(image) && at % 4096 == 0);
			}
		}
		for (int n = 0; n < 4; n++)
			put_byte(fd, where[n], image[where[n]]);
	}
	assert_true(taken > 0 && taken < 20000);
}

static void other_files(void **state)
{
	(void)state;
	struct error err;
	cleanup_overlay struct overlay *o = NULL;
	int pipes[2];
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(overlay_open(pipes[0], &o, &err), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	cleanup_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(overlay_open(fd, &o, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_is_sound),
		cmocka_unit_test(create_refuses_sizes),
		cmocka_unit_test(map_agrees_with_qemu),
		cmocka_unit_test(short_last_cluster_is_zeros),
		cmocka_unit_test(broken_fields),
		cmocka_unit_test(l1_table_wraps_around),
		cmocka_unit_test(truncated_anywhere),
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(other_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
