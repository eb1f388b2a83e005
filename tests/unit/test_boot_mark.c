/* Marks of files that were seen whole: those of this boot stay, up to a number. */
#include "cache_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "cache/list.h"
#include "commands/boot_mark.h"
#include "support/memory.h"

static size_t count(const struct cache *cache)
{
	struct error err;
	cleanup_cache_list struct cache_list list = {0};
	assert_int_equal(cache_list_read_kind(cache, BOOT_MARK_KIND, &list, &err), 0);
	return list.count;
}

/* Has all marks be used last so many seconds before now. */
static void set_age(const struct cache *cache, time_t seconds)
{
	struct error err;
	cleanup_cache_list struct cache_list list = {0};
	assert_int_equal(cache_list_read_kind(cache, BOOT_MARK_KIND, &list, &err), 0);
	for (size_t i = 0; i < list.count; i++) {
		char hex[DIGEST_TEXT_SIZE];
		digest_hex(&list.items[i].key, hex);
		cleanup_free char *path = xasprintf("%s/" BOOT_MARK_KIND "/%s", folder, hex);
		const struct timespec at = {.tv_sec = time(NULL) - seconds};
		assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[2]){at, at}, 0), 0);
	}
}

static void put(const struct cache *cache, const char *what)
{
	struct error err;
	const struct digest content = digest_of(what, strlen(what));
	assert_int_equal(boot_mark_put(cache, &content, 7, &err), 0);
}

static bool is_marked(const struct cache *cache, const char *what)
{
	struct error err;
	const struct digest content = digest_of(what, strlen(what));
	return boot_mark_find(cache, &content, 7, &err) > 0;
}

static void test_earlier_boots(void **state)
{
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	put(cache, "a");
	/* A boot is told from another one by the kernel's number for it. */
	assert_true(is_marked(cache, "a"));
	put(cache, "b");
	assert_int_equal(count(cache), 2);
	/* No machine here was started so long ago. */
	set_age(cache, 20 * 365 * 86400);
	put(cache, "c");
	assert_int_equal(count(cache), 1);
	assert_true(is_marked(cache, "c"));
	assert_false(is_marked(cache, "a"));
}

static void test_number(void **state)
{
	struct error err;
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	put(cache, "first");
	assert_true(is_marked(cache, "first"));
	for (unsigned i = 0; i < BOOT_MARKS_MAX + 50; i++) {
		const struct digest key = digest_of(&i, sizeof(i));
		assert_int_equal(cache_mark(cache, BOOT_MARK_KIND, &key, &err), 0);
	}
	put(cache, "last");
	assert_int_equal(count(cache), BOOT_MARKS_MAX);
	assert_true(is_marked(cache, "last"));
	assert_false(is_marked(cache, "first"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_earlier_boots, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_number, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
