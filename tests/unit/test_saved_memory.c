/* A saved guest's memory: its digest is of what it holds, and its zeros become holes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/fileio.h"
#include "vm/saved_memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE 4096u
#define PIECE_PAGES 64 /* of one read, so that some memories here are more than one */

/*
 * A memory of a page a letter: '.' a hole, '0' zeros that are written, a small letter that letter
 * over and over, a capital one the letter and other bytes.
 */
static int make_memory(const char *pages)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);
	assert_return_code(fd, errno);
	assert_return_code(ftruncate(fd, (off_t)(strlen(pages) * PAGE)), errno);
	for (size_t i = 0; pages[i] != '\0'; i++) {
		uint8_t page[PAGE];
		struct error err;
		if (pages[i] == '.')
			continue;
		memset(page, pages[i] == '0' ? 0 : pages[i], sizeof(page));
		if (pages[i] >= 'A' && pages[i] <= 'Z')
			page[PAGE - 1] = 1;
		assert_int_equal(file_write_at(fd, page, PAGE, i * PAGE, "memory", &err), 0);
	}
	return fd;
}

static struct digest digest_of_memory(int fd)
{
	struct digest digest;
	struct error err = {0};
	if (saved_memory_digest(fd, &digest, &err) < 0)
		fail_msg("%s", err.message);
	return digest;
}

static void test_digest(void **state)
{
	static const struct {
		const char *one, *other;
		bool same;
	} cases[] = {
		{"", "", true},
		{"....", "0000", true},
		{".a.B", "0a0B", true},
		{"a0000000", "a.......", true},
		{"a", "b", false},
		{"a", "A", false},
		{"A", "B", false},
		{"a.", ".a", false},
		{"A.", ".A", false},
		{"ab", "ba", false},
		{"a", "aa", false},
		{"a", "a.", false},
		{"", ".", false},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int one = make_memory(cases[i].one), other = make_memory(cases[i].other);
		struct digest a = digest_of_memory(one), b = digest_of_memory(other);
		if (digest_equal(&a, &b) != cases[i].same)
			fail_msg("\"%s\" and \"%s\"", cases[i].one, cases[i].other);
		close(one);
		close(other);
	}
}

/* Pages of more than one read, the last of which is not full; `letters` from page `first` on. */
static int make_long_memory(char filler, size_t first, const char *letters)
{
	char pages[2 * PIECE_PAGES + 4] = "";
	memset(pages, filler, sizeof(pages) - 1);
	memcpy(pages + first, letters, strlen(letters));
	return make_memory(pages);
}

static void test_digest_across_reads(void **state)
{
	(void)state;
	for (size_t first = PIECE_PAGES - 3; first < PIECE_PAGES + 2; first++) {
		int sparse = make_long_memory('.', first, "aBc"),
		    dense = make_long_memory('0', first, "aBc"),
		    moved = make_long_memory('0', first + 1, "aBc");
		struct digest a = digest_of_memory(sparse), b = digest_of_memory(dense),
			      c = digest_of_memory(moved);
		assert_true(digest_equal(&a, &b));
		assert_false(digest_equal(&a, &c));
		close(sparse);
		close(dense);
		close(moved);
	}
}

/* Pages that the file takes room for. */
static size_t count_pages(int fd)
{
	struct stat st;
	assert_return_code(fstat(fd, &st), errno);
	return (size_t)st.st_blocks * 512 / PAGE;
}

static void check_trim(int fd, size_t left)
{
	struct error err = {0};
	struct digest before = digest_of_memory(fd);
	if (saved_memory_trim(fd, &err) < 0)
		fail_msg("%s", err.message);
	struct digest after = digest_of_memory(fd);
	assert_true(digest_equal(&before, &after));
	assert_int_equal(count_pages(fd), left);
	close(fd);
}

static void test_trim(void **state)
{
	static const struct {
		const char *pages;
		size_t left;
	} cases[] = {
		{"", 0},
		{"...", 0},
		{"000", 0},
		{"0a0", 1},
		{"a0.0B", 2},
		{"a00b", 2},
		{"AbC", 3},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		check_trim(make_memory(cases[i].pages), cases[i].left);
	for (size_t first = PIECE_PAGES - 3; first < PIECE_PAGES + 2; first++)
		check_trim(make_long_memory('0', first, "aBc"), 3);
}

static void test_cut_short(void **state)
{
	struct digest digest;
	struct error err = {0};
	int fd = make_memory("aB");
	(void)state;
	assert_return_code(ftruncate(fd, 2 * PAGE - 1), errno);
	assert_int_equal(saved_memory_digest(fd, &digest, &err), -EINVAL);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_string_equal(err.message, "the saved guest's memory: is cut short");
	assert_int_equal(saved_memory_trim(fd, &err), -EINVAL);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_digest_across_reads),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_cut_short),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
