#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hostdir/hostdigest.h"
#include "hostfiles.h"
#include "support/memory.h"

#define ITEMS_MAX 12

/* clang-format off */
static const struct item items[ITEMS_MAX] = {
	{'d', "dir", 0755, 100, NULL, false},
	{'f', "dir/file", 0644, 101, "text", false},
	{'h', "dir/link", 0, 0, "dir/file", false},
	{'f', "other", 0644, 102, "text", false},
	{'l', "symlink", 0, 103, "dir", false},
	{'p', "pipe", 0600, 104, NULL, false},
};
/* clang-format on */

static struct digest digest_of_items(const struct item *list, bool keep_dirlinks)
{
	struct error err;
	struct digest digest;
	char *folder = folder_new();
	items_to_folder(list, folder);
	if (hostdigest(folder, keep_dirlinks, &digest, &err) < 0)
		fail_msg("%s", err.message);
	folder_remove(folder);
	return digest;
}

/* What takes the place of one item, or comes besides. */
static const struct {
	const char *what;
	size_t at;
	struct item item;
} changes[] = {
	{"another name", 3, {'f', "othex", 0644, 102, "text", false}},
	{"another folder for it", 3, {'f', "dir/other", 0644, 102, "text", false}},
	{"another text", 3, {'f', "other", 0644, 102, "test", false}},
	{"a longer text", 3, {'f', "other", 0644, 102, "text ", false}},
	{"no text", 3, {'f', "other", 0644, 102, "", false}},
	{"another mode", 3, {'f', "other", 0755, 102, "text", false}},
	{"a set-user-ID bit", 3, {'f', "other", 04644, 102, "text", false}},
	{"another time", 3, {'f', "other", 0644, 103, "text", false}},
	{"another type", 3, {'l', "other", 0, 102, "text", false}},
	{"another target", 4, {'l', "symlink", 0, 103, "./dir", false}},
	{"a copy for a link", 2, {'f', "dir/link", 0644, 101, "text", false}},
	{"a link elsewhere", 2, {'h', "other2", 0, 0, "dir/file", false}},
	{"a folder more", 6, {'d', "empty", 0755, 0, NULL, false}},
	{"a folder's mode", 0, {'d', "dir", 0700, 100, NULL, false}},
	{"a folder's time", 0, {'d', "dir", 0755, 99, NULL, false}},
};

/* Each change gives a digest that nothing else has. */
static void test_changes(void **state)
{
	enum { COUNT = sizeof(changes) / sizeof(changes[0]) };
	struct digest digests[COUNT + 1];
	(void)state;
	digests[COUNT] = digest_of_items(items, true);
	for (size_t i = 0; i < COUNT; i++) {
		struct item list[ITEMS_MAX];
		for (size_t j = 0; j < ITEMS_MAX; j++)
			list[j] = items[j];
		list[changes[i].at] = changes[i].item;
		digests[i] = digest_of_items(list, true);
	}
	for (size_t i = 0; i <= COUNT; i++) {
		for (size_t j = 0; j < i; j++) {
			if (digest_equal(&digests[i], &digests[j]))
				fail_msg("%s: as %s", changes[j].what,
					i == COUNT ? "nothing" : changes[i].what);
		}
	}
}

/* Which of two files that are alike has another name. */
static void test_links(void **state)
{
	static const struct item items_a[] = {
		{'f', "a", 0644, 1, "text", false},
		{'f', "b", 0644, 1, "text", false},
		{'h', "c", 0, 0, "a", false},
		{'h', "d", 0, 0, "b", false},
		{0},
	};
	static const struct item items_b[] = {
		{'f', "a", 0644, 1, "text", false},
		{'f', "b", 0644, 1, "text", false},
		{'h', "c", 0, 0, "b", false},
		{'h', "d", 0, 0, "a", false},
		{0},
	};
	struct digest a = digest_of_items(items_a, true);
	struct digest b = digest_of_items(items_b, true);
	(void)state;
	assert_false(digest_equal(&a, &b));
}

/* The same in another folder, and whoever owns it. */
static void test_same(void **state)
{
	struct error err;
	struct digest owned;
	struct digest first = digest_of_items(items, true);
	struct digest second = digest_of_items(items, true);
	(void)state;
	assert_true(digest_equal(&first, &second));
	if (geteuid() != 0)
		return;
	char *folder = folder_new();
	items_to_folder(items, folder);
	cleanup_free char *path = xasprintf("%s/other", folder);
	assert_int_equal(lchown(path, 5, 6), 0);
	assert_int_equal(chown(folder, 5, 6), 0);
	assert_int_equal(hostdigest(folder, true, &owned, &err), 0);
	folder_remove(folder);
	assert_true(digest_equal(&first, &owned));
}

/* A symlink that is followed is the folder that it leads to, with its content. */
static void test_followed(void **state)
{
	/* clang-format off */
	static const struct item linked[] = {
		{'d', "a", 0755, 5, NULL, false}, {'f', "a/f", 0644, 1, "text", false},
		{'l', "b", 0, 9, "a", false}, {0},
	};
	static const struct item copied[] = {
		{'d', "a", 0755, 5, NULL, false}, {'f', "a/f", 0644, 1, "text", false},
		{'d', "b", 0755, 5, NULL, false}, {'f', "b/f", 0644, 1, "text", false}, {0},
	};
	/* clang-format on */
	struct digest kept = digest_of_items(linked, true);
	struct digest followed = digest_of_items(linked, false);
	struct digest folders = digest_of_items(copied, false);
	(void)state;
	assert_false(digest_equal(&kept, &followed));
	assert_true(digest_equal(&followed, &folders));
}

/* A single file is told by the name that it is copied under, also through a symlink. */
static void test_file(void **state)
{
	static const struct {
		const char *path;
		bool same; /* as the first */
	} cases[] = {{"other", true}, {"./other", true}, {"dir/../other", true}, {"alias", false},
		{"dir/other", true}, {"dir/file", false}};
	static const struct item files[] = {
		{'d', "dir", 0755, 0, NULL, false},
		{'f', "other", 0644, 102, "text", false},
		{'f', "dir/file", 0644, 102, "text", false},
		{'l', "dir/other", 0, 0, "../other", false},
		{'l', "alias", 0, 0, "other", false},
		{0},
	};
	struct digest first = {0}, digest;
	struct error err;
	char *folder = folder_new();
	(void)state;
	items_to_folder(files, folder);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_free char *path = xasprintf("%s/%s", folder, cases[i].path);
		if (hostdigest(path, true, &digest, &err) < 0)
			fail_msg("%s: %s", cases[i].path, err.message);
		if (i == 0)
			first = digest;
		if (digest_equal(&first, &digest) != cases[i].same)
			fail_msg("%s: is %s the same", cases[i].path,
				cases[i].same ? "not" : "wrongly");
	}
	folder_remove(folder);
}

static void test_bad(void **state)
{
	struct digest digest;
	struct error err;
	char *folder = folder_new();
	cleanup_free char *missing = xasprintf("%s/missing", folder);
	cleanup_free char *pipe_path = xasprintf("%s/pipe", folder);
	(void)state;
	assert_int_equal(mkfifo(pipe_path, 0600), 0);
	assert_true(hostdigest(missing, true, &digest, &err) < 0);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.message, missing));
	assert_true(hostdigest(pipe_path, true, &digest, &err) < 0);
	assert_int_equal(err.kind, ERROR_INPUT);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_followed),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_bad),
	};
	return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
