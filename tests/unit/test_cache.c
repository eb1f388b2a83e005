/* The cache folder: where it is, whose it must be, what appears in it and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache_rig.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct digest key_of(const char *text)
{
	return digest_of(text, strlen(text));
}

/* Publishes an entry with a text. */
static void publish(const struct cache *cache, const char *name, const char *text)
{
	struct error err;
	struct digest key = key_of(name);
	cleanup_cache_entry struct cache_entry *entry = NULL;
	assert_int_equal(cache_start(cache, "kind", &entry, &err), 0);
	assert_int_equal(file_write(cache_entry_fd(entry), text, strlen(text), "x", &err), 0);
	assert_int_equal(cache_publish(entry, &key, &err), 0);
}

/* What an entry holds; "" where there is none. */
static char *content(const struct cache *cache, const char *name)
{
	struct error err;
	struct digest key = key_of(name);
	cleanup_buffer struct buffer text = {0};
	cleanup_close int fd = -1;
	int r = cache_find(cache, "kind", &key, O_RDONLY, &fd, &err);
	assert_true(r >= 0);
	if (r > 0)
		assert_int_equal(file_read_all(fd, 1000, &text, "x", &err), 0);
	return buffer_steal_text(&text);
}

static void assert_content(const struct cache *cache, const char *name, const char *expected)
{
	cleanup_free char *got = content(cache, name);
	assert_string_equal(got, expected);
}

static size_t count_files(void)
{
	cleanup_free char *path = xasprintf("%s/kind", folder);
	DIR *stream = opendir(path);
	size_t count = 0;
	while (stream != NULL && readdir(stream) != NULL)
		count++;
	if (stream != NULL)
		closedir(stream);
	return count < 2 ? 0 : count - 2;
}

static void test_place(void **state)
{
	static const struct {
		const char *chosen, *caches, *home,
			*expected; /* below the folder; NULL: an error */
	} rows[] = {
		{"a/b", "c", "h", "a/b"},
		{NULL, "c", "h", "c/layervm"},
		{NULL, NULL, "h", "h/.cache/layervm"},
		{NULL, NULL, NULL, NULL},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *const names[] = {"LAYERVM_CACHE_DIR", "XDG_CACHE_HOME", "HOME"};
		const char *const values[] = {rows[i].chosen, rows[i].caches, rows[i].home};
		for (size_t j = 0; j < COUNT(names); j++) {
			cleanup_free char *path =
				xasprintf("%s/%s", folder, values[j] != NULL ? values[j] : "");
			if (values[j] == NULL)
				unsetenv(names[j]);
			else
				setenv(names[j], path, 1);
		}
		struct error err;
		cleanup_cache struct cache *cache = NULL;
		int r = cache_open(&cache, &err);
		if (rows[i].expected == NULL) {
			assert_int_equal(r, -ENOENT);
			assert_int_equal(err.kind, ERROR_OUTPUT);
			continue;
		}
		assert_int_equal(r, 0);
		struct stat st;
		cleanup_free char *expected = xasprintf("%s/%s", folder, rows[i].expected);
		assert_string_equal(cache_path(cache), expected);
		assert_int_equal(stat(expected, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
	}
	/* A relative one is as if it were not set. */
	setenv("XDG_CACHE_HOME", "relative", 1);
	setenv("HOME", folder, 1);
	cleanup_cache struct cache *cache = open_cache();
	assert_memory_equal(cache_path(cache), folder, strlen(folder));
}

static void test_owner(void **state)
{
	struct error err;
	struct cache *cache;
	(void)state;
	assert_int_equal(chmod(folder, 0770), 0);
	assert_int_equal(cache_open(&cache, &err), -EPERM);
	assert_non_null(strstr(err.message, "has mode 0770"));
	assert_int_equal(chmod(folder, 0755), 0);
	cache_free(open_cache());
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(folder, 1234, 0), 0);
	assert_int_equal(cache_open(&cache, &err), -EPERM);
	assert_non_null(strstr(err.message, "belongs to user 1234"));
	assert_int_equal(chown(folder, 0, 0), 0);
}

static void test_entries(void **state)
{
	struct error err;
	struct digest key = key_of("a");
	cleanup_cache struct cache *cache = open_cache();
	(void)state;
	assert_content(cache, "a", "");
	publish(cache, "a", "one");
	assert_content(cache, "a", "one");
	/* The first of two makers wins. */
	publish(cache, "a", "two");
	assert_content(cache, "a", "one");
	assert_int_equal(count_files(), 1);

	/* Who has it open keeps it. */
	cleanup_close int fd = -1;
	char byte = 0;
	assert_int_equal(cache_find(cache, "kind", &key, O_RDONLY, &fd, &err), 1);
	assert_true(cache_is_current(cache, "kind", &key, fd));
	assert_int_equal(cache_remove(cache, "kind", &key, &err), 0);
	assert_int_equal(cache_remove(cache, "kind", &key, &err), 0);
	assert_false(cache_is_current(cache, "kind", &key, fd));
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_content(cache, "a", "");
	publish(cache, "a", "three");
	assert_content(cache, "a", "three");
	assert_false(cache_is_current(cache, "kind", &key, fd));
}

/* Nothing of an entry that was not published is left. */
static void test_unpublished(void **state)
{
	struct error err;
	cleanup_cache struct cache *cache = open_cache();
	struct cache_entry *entry = NULL;
	(void)state;
	assert_int_equal(cache_start(cache, "kind", &entry, &err), 0);
	assert_int_equal(file_write(cache_entry_fd(entry), "x", 1, "x", &err), 0);
	cache_entry_free(entry);
	assert_int_equal(count_files(), 0);
}

static void set_age(const char *name, time_t seconds)
{
	char hex[DIGEST_TEXT_SIZE];
	struct digest key = key_of(name);
	cleanup_free char *path = xasprintf("%s/kind/%s", folder, digest_hex(&key, hex));
	const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_trim(void **state)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	struct error err;
	cleanup_cache struct cache *cache = open_cache();
	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		publish(cache, names[i], names[i]);
		set_age(names[i], 1000 + (time_t)i);
	}
	/* To be found is to be used. */
	assert_content(cache, "a", "a");
	assert_int_equal(cache_trim(cache, "kind", 2, &err), 0);
	assert_int_equal(count_files(), 2);
	assert_content(cache, "a", "a");
	assert_content(cache, "b", "");
	assert_content(cache, "c", "");
	assert_content(cache, "d", "d");
}

static int find(const struct cache *cache, const char *name)
{
	struct error err;
	struct digest key = key_of(name);
	int fd = -1;
	assert_int_equal(cache_find(cache, "kind", &key, O_RDWR, &fd, &err), 1);
	return fd;
}

static void test_lock(void **state)
{
	struct error err;
	int ends[2];
	char byte;
	cleanup_cache struct cache *cache = open_cache();
	(void)state;
	publish(cache, "a", "a");
	int first = find(cache, "a");
	cleanup_close int second = find(cache, "a");
	assert_int_equal(cache_try_lock(first, &err), 1);
	assert_int_equal(cache_try_lock(second, &err), 0);

	/* The other one lets it go when it is told to; the wait ends then, and not before. */
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		close(second);
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(first); /* the child's copy holds the lock now */
	close(ends[0]);
	assert_int_equal(cache_try_lock(second, &err), 0);
	assert_int_equal(write(ends[1], "", 1), 1);
	assert_int_equal(cache_wait_lock(second, &err), 0);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(ends[1]);
	cleanup_close int third = find(cache, "a");
	assert_int_equal(cache_try_lock(third, &err), 0);
}

/* A signal ends the wait. */
static void test_lock_interrupted(void **state)
{
	struct error err;
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	publish(cache, "a", "a");
	cleanup_close int first = find(cache, "a");
	assert_int_equal(cache_try_lock(first, &err), 1);
	pid_t child = fork();
	if (child == 0) {
		int second = find(cache, "a");
		if (interrupt_setup(&err) < 0)
			_exit(2);
		raise(SIGTERM);
		int r = cache_wait_lock(second, &err);
		_exit(r < 0 && err.kind == ERROR_INTERRUPTED && err.status == SIGTERM ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_place, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_owner, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_entries, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_unpublished, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_trim, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_lock, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_lock_interrupted, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
