/* The digest of a disk tells its bytes, and nothing of where its file has holes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "disk/disk_digest.h"
#include "support/fileio.h"
#include "support/memory.h"

#define BLOCK 4096

/* Bytes of a file: so many of one value at an offset. */
struct piece {
	uint64_t offset;
	size_t len;
	uint8_t value;
};

static struct digest disk_of(uint64_t size, const struct piece *pieces, size_t count)
{
	struct error err;
	struct digest digest;
	cleanup_close int fd = file_temporary(&err);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (size_t i = 0; i < count; i++) {
		cleanup_free uint8_t *bytes = xmalloc(pieces[i].len);
		memset(bytes, pieces[i].value, pieces[i].len);
		assert_int_equal(
			file_write_at(fd, bytes, pieces[i].len, pieces[i].offset, "disk", &err), 0);
	}
	if (disk_digest(fd, &digest, &err) < 0)
		fail_msg("%s", err.message);
	return digest;
}

/* Zeros that were written and zeros that were not are the same. */
static void test_holes(void **state)
{
	(void)state;
	static const struct piece sparse[] = {
		{0, 10, 1}, {(1 << 20) - 1, 2, 2}, {(3 << 20) + 5, 300000, 3}};
	static const struct piece dense[] = {
		{0, 5 << 20, 0}, {0, 10, 1}, {(1 << 20) - 1, 2, 2}, {(3 << 20) + 5, 300000, 3}};
	struct digest a = disk_of(5 << 20, sparse, 3);
	struct digest b = disk_of(5 << 20, dense, 4);
	assert_true(digest_equal(&a, &b));
}

/* What it is said to be in the header. */
static void test_definition(void **state)
{
	(void)state;
	const struct piece pieces[] = {{2 * BLOCK, BLOCK, 7}, {5 * BLOCK, 100, 9}};
	static const struct {
		uint8_t number[8];
	} two = {{2}}, five = {{5}}, size = {{100, 0x50}};
	uint8_t block[BLOCK];
	cleanup_hasher struct hasher *hasher = hasher_new();
	memset(block, 7, sizeof(block));
	hasher_add(hasher, &two, 8);
	hasher_add(hasher, block, sizeof(block));
	memset(block, 9, 100);
	hasher_add(hasher, &five, 8);
	hasher_add(hasher, block, 100);
	hasher_add(hasher, &size, 8);
	struct digest expected = hasher_finish(hasher);
	struct digest found = disk_of(5 * BLOCK + 100, pieces, 2);
	assert_true(digest_equal(&found, &expected));
}

/* All of these are different disks. */
static void test_different(void **state)
{
	(void)state;
	const struct {
		uint64_t size;
		struct piece piece;
	} disks[] = {
		{0, {0}},
		{BLOCK, {0, 0, 0}},
		{2 * BLOCK, {0, 0, 0}},
		{2 * BLOCK, {0, 1, 1}},
		{2 * BLOCK, {1, 1, 1}},
		{2 * BLOCK, {BLOCK, 1, 1}},
		{2 * BLOCK, {2 * BLOCK - 1, 1, 1}},
		{UINT64_C(64) << 30, {0, 1, 1}},
		{UINT64_C(64) << 30, {UINT64_C(63) << 30, 1, 1}},
	};
	struct digest digests[sizeof(disks) / sizeof(disks[0])];
	for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
		digests[i] =
			disk_of(disks[i].size, &disks[i].piece, disks[i].piece.len == 0 ? 0 : 1);
		for (size_t k = 0; k < i; k++)
			assert_false(digest_equal(&digests[i], &digests[k]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_definition),
		cmocka_unit_test(test_different),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
