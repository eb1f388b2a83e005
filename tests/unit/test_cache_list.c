/* What is found in a cache folder that others have been in: symlinks, devices, names of all sorts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/list.h"
#include "cache/prune.h"
#include "cache/unfinished.h"
#include "cache_rig.h"
#include "support/memory.h"
#include "support/size.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define GIB (UINT64_C(1) << 30)

/* 64 digits. */
#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct digest key(void)
{
	struct digest digest;
	assert_true(digest_parse(&digest, "sha256:" KEY));
	return digest;
}

enum made { FOLDER, FILE_OF_3, SYMLINK, FIFO };

/* What a stranger is, or -1 for what is an entry or nothing at all. */
static const struct {
	enum made made;
	const char *path;
	int stranger;
} names[] = {
	{FOLDER, "disk", -1},
	{FILE_OF_3, "disk/" KEY, -1},
	{FILE_OF_3, "disk/0123", CACHE_STRANGER_NAME},
	{FILE_OF_3, "disk/" KEY "0", CACHE_STRANGER_NAME},
	{FILE_OF_3, "disk/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		CACHE_STRANGER_NAME},
	{FILE_OF_3, "disk/.hidden", CACHE_STRANGER_NAME},
	{FILE_OF_3, "disk/\xff\n", CACHE_STRANGER_NAME},
	{FILE_OF_3, "disk/new-0123", CACHE_STRANGER_UNFINISHED},
	{SYMLINK, "disk/a123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		CACHE_STRANGER_FILE},
	{FIFO, "disk/b123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		CACHE_STRANGER_FILE},
	{FOLDER, "disk/c123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		CACHE_STRANGER_FILE},
	{FOLDER, "a-new-kind", -1},
	{FILE_OF_3, "a-new-kind/" KEY, -1},
	{FOLDER, "empty", -1},
	{FILE_OF_3, ".usage", -1},
	{FILE_OF_3, ".claims", -1},
	{FILE_OF_3, "readme", CACHE_STRANGER_FOLDER},
	{FOLDER, "lost+found", CACHE_STRANGER_FOLDER},
	{FOLDER, "-", CACHE_STRANGER_FOLDER},
	{FOLDER, "a-name-of-more-than-thirty-two-letters", CACHE_STRANGER_FOLDER},
	{SYMLINK, "link", CACHE_STRANGER_FOLDER},
	{FIFO, "fifo", CACHE_STRANGER_FOLDER},
};

static void make_names(void)
{
	cleanup_free char *outside = xasprintf("%s/lost+found/outside", folder);
	for (size_t i = 0; i < COUNT(names); i++) {
		cleanup_free char *path = xasprintf("%s/%s", folder, names[i].path);
		cleanup_close int fd = -1;
		switch (names[i].made) {
		case FOLDER:
			assert_int_equal(mkdir(path, 0700), 0);
			break;
		case FILE_OF_3:
			fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
			assert_int_equal(write(fd, "abc", 3), 3);
			break;
		case SYMLINK:
			assert_int_equal(symlink(outside, path), 0);
			break;
		case FIFO:
			assert_int_equal(mkfifo(path, 0600), 0);
			break;
		}
	}
}

static void assert_list(const struct cache_list *list)
{
	size_t strangers = 0;
	for (size_t i = 0; i < COUNT(names); i++) {
		bool found = false;
		strangers += names[i].stranger >= 0;
		for (size_t k = 0; k < list->stranger_count; k++)
			found |= strcmp(list->strangers[k].path, names[i].path) == 0 &&
				 (int)list->strangers[k].type == names[i].stranger;
		if (found != (names[i].stranger >= 0))
			fail_msg("%s: %s", names[i].path, found ? "listed" : "not listed");
	}
	assert_int_equal(list->stranger_count, strangers);
	assert_int_equal(list->count, 2);
	for (size_t i = 0; i < list->count; i++) {
		struct digest expected = key();
		assert_true(digest_equal(&list->items[i].key, &expected));
		assert_int_equal(list->items[i].size, 3);
	}
}

static void test_list(void **state)
{
	struct error err;
	(void)state;
	make_names();
	cleanup_cache struct cache *cache = open_cache();
	cleanup_cache_list struct cache_list list = {0};
	assert_int_equal(cache_list_read(cache, &list, &err), 0);
	assert_list(&list);

	cleanup_cache_list struct cache_list none = {0};
	assert_int_equal(cache_list_read_kind(cache, "missing", &none, &err), 0);
	assert_int_equal(none.count, 0);
	assert_int_equal(cache_list_read_kind(cache, "link", &none, &err), -ENOTDIR);

	/* To remove all is to remove the entries, and what nobody makes any more. */
	const struct cache_prune_options all = {.kept_too = true};
	assert_int_equal(cache_prune(cache, &all, &err), 0);
	for (size_t i = 0; i < COUNT(names); i++) {
		struct stat st;
		cleanup_free char *path = xasprintf("%s/%s", folder, names[i].path);
		bool stays = names[i].stranger >= 0 ? names[i].stranger != CACHE_STRANGER_UNFINISHED
						    : strstr(names[i].path, KEY) == NULL;
		if ((lstat(path, &st) == 0) != stays)
			fail_msg("%s: %s", names[i].path, stays ? "is gone" : "is there");
	}
}

/* What is no regular file is never opened as an entry, and nobody waits for a FIFO's other end. */
static void test_find(void **state)
{
	static const struct {
		enum made made;
		const char *words;
	} rows[] = {
		{SYMLINK, "disk/" KEY " is no regular file; remove it"},
		{FIFO, "disk/" KEY " is no regular file; remove it"},
		{FOLDER, "disk/" KEY " is no regular file; remove it"},
	};
	const int flags[] = {O_RDONLY, O_RDWR};
	struct digest digest = key();
	cleanup_cache struct cache *cache = open_cache();
	cleanup_free char *kind = xasprintf("%s/disk", folder);
	cleanup_free char *path = xasprintf("%s/" KEY, kind);
	(void)state;
	cleanup_free char *regular = xasprintf("%s/regular", folder);
	cleanup_close int made_first = open(regular, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(made_first >= 0);
	assert_int_equal(mkdir(kind, 0700), 0);
	for (size_t i = 0; i < 2 * COUNT(rows); i++) {
		struct error err = {0};
		int fd = -1;
		enum made made = rows[i / 2].made;
		assert_int_equal(made == FIFO      ? mkfifo(path, 0600)
				 : made == SYMLINK ? symlink("../regular", path)
						   : mkdir(path, 0700),
			0);
		assert_int_equal(
			cache_find(cache, "disk", &digest, flags[i % 2], &fd, &err), -EINVAL);
		assert_int_equal(fd, -1);
		assert_non_null(strstr(err.message, rows[i / 2].words));
		assert_int_equal(remove(path), 0);
	}
	/* The folder of a kind is to be the user's own as the whole is. */
	struct error err;
	int fd = -1;
	assert_int_equal(cache_find(cache, "disk", &digest, O_RDONLY, &fd, &err), 0);
	assert_int_equal(chmod(kind, 0777), 0);
	assert_int_equal(cache_find(cache, "disk", &digest, O_RDONLY, &fd, &err), -EPERM);
	assert_non_null(strstr(err.message, "has mode 0777"));
	assert_int_equal(rmdir(kind), 0);
	assert_int_equal(symlink(".", kind), 0);
	assert_int_equal(cache_find(cache, "disk", &digest, O_RDONLY, &fd, &err), -ENOTDIR);
	struct cache_entry *entry = NULL;
	assert_int_equal(cache_start(cache, "disk", &entry, &err), -ENOTDIR);
}

/* A file that is being made is locked; without its maker it can be removed. */
static void test_unfinished(void **state)
{
	struct error err;
	cleanup_free char *name = NULL;
	(void)state;
	int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = unfinished_make(at, &name, &err);
	assert_true(fd >= 0);
	assert_true(is_unfinished_name(name));
	assert_false(is_unfinished_name(KEY));
	assert_false(unfinished_remove(at, name));
	assert_int_equal(faccessat(at, name, F_OK, 0), 0);
	close(fd);
	assert_true(unfinished_remove(at, name));
	assert_int_equal(faccessat(at, name, F_OK, 0), -1);
	assert_false(unfinished_remove(at, name));
	close(at);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		bool fits;
		uint64_t mebibytes;
	} rows[] = {
		{"0", true, 0},
		{"17", true, 17},
		{"17m", true, 17},
		{"17MiB", true, 17},
		{"2G", true, 2048},
		{"2gb", true, 2048},
		{"1T", true, 1 << 20},
		{"18446744073709551615", true, UINT64_MAX},
		{"18446744073709551616", false, 0},
		{"18446744073709551615G", false, 0},
		{"", false, 0},
		{"G", false, 0},
		{"-1", false, 0},
		{"1.5G", false, 0},
		{"1 G", false, 0},
		{"1k", false, 0},
		{"0x10", false, 0},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t found = 0;
		if (size_parse_mebibytes(rows[i].text, &found) != rows[i].fits)
			fail_msg("\"%s\"", rows[i].text);
		if (rows[i].fits)
			assert_int_equal(found, rows[i].mebibytes);
	}
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void test_limits(void **state)
{
	struct statvfs fs;
	(void)state;
	assert_int_equal(statvfs(folder, &fs), 0);
	uint64_t whole = (uint64_t)fs.f_blocks * fs.f_frsize;
	const uint64_t usual_max = less(10 * GIB, whole / 10), usual_free = less(GIB, whole / 20);
	const struct {
		const char *max_size, *min_free;
		uint64_t max_bytes, free_bytes;
		const char *words; /* NULL: no error */
	} rows[] = {
		{NULL, NULL, usual_max, usual_free, NULL},
		{"", "", usual_max, usual_free, NULL},
		{"0", NULL, 0, usual_free, NULL},
		{"3G", "5", 3 * GIB, 5 << 20, NULL},
		{"16777215T", NULL, UINT64_C(16777215) << 40, usual_free, NULL},
		{"16777216T", NULL, 0, 0, "LAYERVM_CACHE_MAX_SIZE is \"16777216T\", a number"},
		{NULL, "all", 0, 0, "LAYERVM_CACHE_MIN_FREE is \"all\", a number"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		struct cache *cache = NULL;
		setenv("LAYERVM_CACHE_MAX_SIZE", rows[i].max_size ? rows[i].max_size : "", 1);
		setenv("LAYERVM_CACHE_MIN_FREE", rows[i].min_free ? rows[i].min_free : "", 1);
		int r = cache_open(&cache, &err);
		if (rows[i].words != NULL) {
			assert_int_equal(r, -EINVAL);
			assert_int_equal(err.kind, ERROR_USAGE);
			assert_non_null(strstr(err.message, rows[i].words));
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(cache_limits(cache)->max_size, rows[i].max_bytes);
		assert_int_equal(cache_limits(cache)->min_free, rows[i].free_bytes);
		cache_free(cache);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		TEST(test_list),
		TEST(test_find),
		TEST(test_unfinished),
		TEST(test_sizes),
		TEST(test_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
