/* Entries of the cache that go: which, in what order, and what stays whatever is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/list.h"
#include "cache/prune.h"
#include "cache/usage.h"
#include "cache_rig.h"
#include "skips.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIB (UINT64_C(1) << 20)

static int make_roomy_folder(void **state)
{
	return make_folder(state) < 0 ? -1 : setenv("LAYERVM_CACHE_MIN_FREE", "0", 1);
}

/* The key of an entry of the tests has its name in its first bytes. */
static struct digest key_of(const char *name)
{
	struct digest key = {0};
	memcpy(key.bytes, name, strlen(name));
	return key;
}

static char *path_of(const char *kind, const char *name)
{
	char hex[DIGEST_TEXT_SIZE];
	struct digest key = key_of(name);
	return xasprintf("%s/%s/%s", folder, kind, digest_hex(&key, hex));
}

static int try_publish(const struct cache *cache, const char *kind, const char *name,
	size_t mebibytes, struct error *err)
{
	struct digest key = key_of(name);
	cleanup_free uint8_t *data = xmalloc(mebibytes * MIB);
	cleanup_cache_entry struct cache_entry *entry = NULL;
	memset(data, 1, mebibytes * MIB);
	int r = cache_start(cache, kind, &entry, err);
	if (r == 0)
		r = file_write(cache_entry_fd(entry), data, mebibytes * MIB, "x", err);
	return r < 0 ? r : cache_publish(entry, &key, err);
}

static void publish(const struct cache *cache, const char *kind, const char *name, size_t mebibytes)
{
	struct error err = {0};
	if (try_publish(cache, kind, name, mebibytes, &err) < 0)
		fail_msg("%s", err.message);
}

static void set_age(const char *kind, const char *name, time_t seconds)
{
	cleanup_free char *path = path_of(kind, name);
	const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* What is there, oldest first: "kind:name" with a space between. */
static char *listing(const struct cache *cache)
{
	struct error err;
	cleanup_cache_list struct cache_list list = {0};
	cleanup_buffer struct buffer text = {0};
	assert_int_equal(cache_list_read(cache, &list, &err), 0);
	cache_list_sort(&list);
	for (size_t i = 0; i < list.count; i++)
		buffer_printf(&text, "%s%s:%s", i == 0 ? "" : " ", list.items[i].kind,
			(const char *)list.items[i].key.bytes);
	return buffer_steal_text(&text);
}

static void assert_listing(const struct cache *cache, const char *expected)
{
	cleanup_free char *found = listing(cache);
	assert_string_equal(found, expected);
}

/* Three kinds, used in the order of the letters: 1 MiB each but for c, with 4. */
static void fill(const struct cache *cache)
{
	static const struct {
		const char *kind;
		const char *name;
		size_t mebibytes;
	} rows[] = {
		{"disk", "a", 1},
		{"mount", "b", 1},
		{"disk", "c", 4},
		{"tree", "d", 1},
		{"disk", "e", 1},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		publish(cache, rows[i].kind, rows[i].name, rows[i].mebibytes);
		set_age(rows[i].kind, rows[i].name, 1000 + (time_t)i);
	}
}

static void tell(void *context, const struct cache_item *item, enum cache_fate fate)
{
	buffer_printf(
		context, "%s%s ", (const char *)item->key.bytes, fate == CACHE_BUSY ? "!" : "");
}

static void assert_pruned(const struct cache *cache, const struct cache_prune_options *options,
	const char *told, const char *left)
{
	struct error err = {0};
	struct buffer words = {0};
	struct cache_prune_options telling = *options;
	telling.tell = tell;
	telling.context = &words;
	if (cache_prune(cache, &telling, &err) < 0)
		fail_msg("%s", err.message);
	cleanup_free char *text = buffer_steal_text(&words);
	assert_string_equal(text, told);
	assert_listing(cache, left);
}

static void test_prune(void **state)
{
	static const struct {
		struct cache_prune_options options;
		const char *told;
		const char *left;
	} rows[] = {
		{{0}, "a c d e ", "mount:b"},
		{{.kept_too = true}, "a b c d e ", ""},
		{{.kind = "disk"}, "a c e ", "mount:b tree:d"},
		{{.kind = "mount"}, "b ", "disk:a disk:c tree:d disk:e"},
		{{.kind = "none"}, "", "disk:a mount:b disk:c tree:d disk:e"},
		/* 7 MiB may go: what is used last stays, and as much as fits. */
		{{.has_limits = true, .limits = {.max_size = 7 * MIB}}, "",
			"disk:a mount:b disk:c tree:d disk:e"},
		{{.has_limits = true, .limits = {.max_size = 7 * MIB - 1}}, "a ",
			"mount:b disk:c tree:d disk:e"},
		{{.has_limits = true, .limits = {.max_size = 3 * MIB}}, "a c ",
			"mount:b tree:d disk:e"},
		{{.has_limits = true, .limits = {.max_size = 0}}, "a c d e ", "mount:b"},
		/* With those of mounts it is 8. */
		{{.has_limits = true, .kept_too = true, .limits = {.max_size = 6 * MIB}}, "a b ",
			"disk:c tree:d disk:e"},
		{{.has_limits = true, .kind = "disk", .limits = {.max_size = 1 * MIB}}, "a c ",
			"mount:b tree:d disk:e"},
		/* No file system has so much free. */
		{{.has_limits = true, .limits = {.max_size = UINT64_MAX, .min_free = UINT64_MAX}},
			"a c d e ", "mount:b"},
		{{.has_limits = true, .limits = {.max_size = UINT64_MAX}}, "",
			"disk:a mount:b disk:c tree:d disk:e"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err;
		cleanup_cache struct cache *cache = open_cache();
		fill(cache);
		assert_pruned(cache, &rows[i].options, rows[i].told, rows[i].left);
		const struct cache_prune_options all = {.kept_too = true};
		assert_int_equal(cache_prune(cache, &all, &err), 0);
	}
}

/* Only as much goes as is missing, with what is removed counted as free at once. */
static void test_min_free(void **state)
{
	cleanup_cache struct cache *cache = open_cache();
	(void)state;
	fill(cache);
	uint64_t now = cache_free_space(cache_fd(cache));
	/* A part of the first four megabytes is missing; others may use a few meanwhile. */
	const struct cache_prune_options options = {
		.has_limits = true, .limits = {.max_size = UINT64_MAX, .min_free = now + 3 * MIB}};
	struct error err;
	assert_int_equal(cache_prune(cache, &options, &err), 0);
	cleanup_free char *left = listing(cache);
	assert_null(strstr(left, "disk:a"));
	assert_non_null(strstr(left, "mount:b"));
}

/* A cache mount's disk that a run has is told of, and stays; a base that is open may go. */
static void test_in_use(void **state)
{
	const struct cache_prune_options all = {.kept_too = true};
	struct error err;
	struct digest b = key_of("b"), c = key_of("c");
	char byte = 0;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_close int locked = -1, open_file = -1;
	(void)state;
	fill(cache);
	assert_int_equal(cache_find(cache, "mount", &b, O_RDWR, &locked, &err), 1);
	assert_int_equal(cache_find(cache, "disk", &c, O_RDONLY, &open_file, &err), 1);
	set_age("mount", "b", 1001);
	set_age("disk", "c", 1002);
	assert_int_equal(cache_try_lock(locked, &err), 1);
	assert_pruned(cache, &all, "a b! c d e ", "mount:b");
	assert_int_equal(pread(open_file, &byte, 1, (off_t)(4 * MIB) - 1), 1);
	assert_int_equal(byte, 1);
	close(locked);
	locked = -1;
	assert_pruned(cache, &all, "b ", "");
}

/* New entries make old ones go by themselves, the one that was just made last. */
static void test_eviction(void **state)
{
	struct error err;
	struct digest a = key_of("a");
	cleanup_close int fd = -1;
	(void)state;
	setenv("LAYERVM_CACHE_MAX_SIZE", "8", 1);
	cleanup_cache struct cache *cache = open_cache();
	assert_int_equal(cache_limits(cache)->max_size, 8 * MIB);
	fill(cache);
	assert_listing(cache, "disk:a mount:b disk:c tree:d disk:e");
	/* To be found is to be used; to be looked at is not. */
	assert_int_equal(cache_find(cache, "disk", &a, O_RDONLY, &fd, &err), 1);
	close(fd);
	struct digest c = key_of("c");
	assert_int_equal(cache_peek(cache, "disk", &c, O_RDONLY, &fd, &err), 1);
	publish(cache, "tree", "f", 2);
	assert_listing(cache, "mount:b tree:d disk:e disk:a tree:f");
	/* The estimate starts from what is left: there is room for three more. */
	publish(cache, "tree", "g", 1);
	set_age("tree", "g", 900);
	publish(cache, "tree", "h", 1);
	publish(cache, "tree", "i", 1);
	assert_listing(cache, "tree:g mount:b tree:d disk:e disk:a tree:f tree:h tree:i");
	publish(cache, "mount", "j", 8);
	publish(cache, "tree", "k", 1);
	assert_listing(cache, "mount:b tree:d disk:e disk:a tree:f tree:h tree:i mount:j tree:k");
}

/* What was written long before it got its name counts as used when it got it. */
static void test_published_late(void **state)
{
	struct error err;
	const struct timespec past[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	struct digest key = key_of("late");
	cleanup_cache struct cache *cache = open_cache();
	cleanup_cache_entry struct cache_entry *entry = NULL;
	(void)state;
	fill(cache);
	assert_int_equal(cache_start(cache, "disk", &entry, &err), 0);
	assert_int_equal(futimens(cache_entry_fd(entry), past), 0);
	assert_int_equal(cache_publish(entry, &key, &err), 0);
	assert_listing(cache, "disk:a mount:b disk:c tree:d disk:e disk:late");
}

/* What is larger than half of the cache gets no name, and no other entry goes for it. */
static void test_too_large(void **state)
{
	static const struct {
		const char *limit; /* MiB */
		const char *kind;
		size_t mebibytes;
		bool is_kept;
	} rows[] = {
		{"0", "disk", 1, false},
		{"0", "mount", 1, true},
		{"14", "disk", 7, true},
		{"14", "disk", 8, false},
		{"14", "mount", 8, true},
		{"13", "disk", 7, false},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		setenv("LAYERVM_CACHE_MAX_SIZE", "1T", 1);
		cleanup_cache struct cache *roomy = open_cache();
		fill(roomy);
		setenv("LAYERVM_CACHE_MAX_SIZE", rows[i].limit, 1);
		cleanup_cache struct cache *cache = open_cache();
		int r = try_publish(cache, rows[i].kind, "new", rows[i].mebibytes, &err);
		cleanup_free char *left = listing(cache);
		assert_int_equal(r, rows[i].is_kept ? 0 : -EDQUOT);
		assert_int_equal(strstr(left, ":new") != NULL, rows[i].is_kept);
		bool fits = cache_would_keep(cache, rows[i].mebibytes * MIB);
		assert_int_equal(fits || strcmp(rows[i].kind, "mount") == 0, rows[i].is_kept);
		if (!rows[i].is_kept) {
			assert_string_equal(left, "disk:a mount:b disk:c tree:d disk:e");
			assert_int_equal(err.kind, ERROR_OUTPUT);
			assert_non_null(strstr(err.message, "LAYERVM_CACHE_MAX_SIZE"));
		}
		const struct cache_prune_options all = {.kept_too = true};
		assert_int_equal(cache_prune(cache, &all, &err), 0);
	}
}

static void test_eviction_free(void **state)
{
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	fill(cache);
	setenv("LAYERVM_CACHE_MIN_FREE", "15T", 1);
	cleanup_cache struct cache *other = open_cache();
	assert_int_equal(cache_limits(other)->min_free, 15 * MIB * MIB);
	/* Nothing new begins then, but for what nothing else holds. */
	struct error err = {0};
	cleanup_cache_entry struct cache_entry *entry = NULL;
	assert_int_equal(cache_start(other, "disk", &entry, &err), -ENOSPC);
	assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_non_null(strstr(err.message, " 15728640 are left to others"));
	assert_listing(other, "mount:b");
	publish(other, "mount", "c", 1);
	assert_listing(other, "mount:b mount:c");
	/* A mark takes no space: it is made, and used once more, and nothing goes for it. */
	publish(cache, "disk", "e", 1);
	struct digest key = key_of("mark");
	assert_int_equal(cache_mark(other, "boot", &key, &err), 0);
	assert_listing(other, "mount:b mount:c disk:e boot:mark");
	set_age("boot", "mark", 1);
	assert_int_equal(cache_mark(other, "boot", &key, &err), 0);
	assert_listing(other, "mount:b mount:c disk:e boot:mark");
}

static bool write_text(const char *path, const char *text)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Puts a file system of 16 MiB on the cache folder, in a name space that ends with the process. */
static bool mount_small(void)
{
	cleanup_free char *users = xasprintf("%u %u 1", geteuid(), geteuid());
	cleanup_free char *groups = xasprintf("%u %u 1", getegid(), getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
	       write_text("/proc/self/setgroups", "deny") &&
	       write_text("/proc/self/uid_map", users) &&
	       write_text("/proc/self/gid_map", groups) &&
	       mount("none", folder, "tmpfs", 0, "size=16M,mode=700") == 0;
}

/*
 * What went is open, and so nothing is free yet: no more goes for that, not with the next entry
 * either. What has just been made goes itself only where all of it is too much.
 */
static const char *fill_small(void)
{
	struct error err;
	struct digest a = key_of("a");
	cleanup_close int open_file = -1;
	setenv("LAYERVM_CACHE_MAX_SIZE", "1T", 1);
	setenv("LAYERVM_CACHE_MIN_FREE", "3", 1);
	cleanup_cache struct cache *cache = open_cache();
	if (try_publish(cache, "disk", "a", 4, &err) < 0 ||
		try_publish(cache, "disk", "b", 4, &err) < 0)
		return "there is no room";
	set_age("disk", "a", 1000);
	set_age("disk", "b", 1001);
	if (cache_peek(cache, "disk", &a, O_RDONLY, &open_file, &err) != 1)
		return "a is gone";
	if (try_publish(cache, "disk", "c", 5, &err) < 0 ||
		try_publish(cache, "disk", "d", 1, &err) < 0)
		return "what fits is not kept";
	cleanup_free char *left = listing(cache);
	if (strcmp(left, "disk:b disk:c disk:d") != 0)
		return "more has gone than was missing";
	/* Of the 3 MiB less than 2 are free; what is open counts for half of them at most. */
	if (try_publish(cache, "disk", "e", 1, &err) < 0)
		return "there is no room for e";
	cleanup_free char *half = listing(cache);
	if (strcmp(half, "disk:c disk:d disk:e") != 0)
		return "what is open hides that too little is free";
	/* It is closed, and counts no more once enough is free. */
	const struct cache_prune_options all = {0};
	cleanup_close_fn(&open_file);
	open_file = -1;
	set_age("disk", "c", 1000);
	if (try_publish(cache, "disk", "f", 2, &err) < 0 ||
		try_publish(cache, "disk", "g", 4, &err) < 0)
		return "there is no room for f and g";
	cleanup_free char *closed = listing(cache);
	if (strcmp(closed, "disk:d disk:e disk:f disk:g") != 0)
		return "what was open hides that too little is free";
	if (cache_prune(cache, &all, &err) < 0)
		return "prune";
	cleanup_cache struct cache *fresh = open_cache();
	if (try_publish(fresh, "disk", "large", 13, &err) != -ENOSPC || err.kind != ERROR_OUTPUT)
		return "nothing tells that it has gone";
	cleanup_free char *none = listing(cache);
	return none[0] == '\0' ? NULL : "it is there";
}

static void test_small(void **state)
{
	enum { GOOD, BAD, NO_MOUNT };
	int status;
	(void)state;
	pid_t child = fork();
	if (child == 0) {
		if (!mount_small())
			_exit(NO_MOUNT);
		const char *fault = fill_small();
		if (fault != NULL)
			print_error("%s\n", fault);
		_exit(fault == NULL ? GOOD : BAD);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == NO_MOUNT)
		skip_test("mounts");
	assert_int_equal(WEXITSTATUS(status), GOOD);
}

/* The estimate says when to count; whatever it holds, the count is right in the end. */
static void test_usage(void **state)
{
	cleanup_cache struct cache *cache = open_cache();
	cleanup_free char *path = xasprintf("%s/%s", folder, USAGE_NAME);
	int fd = cache_fd(cache);
	(void)state;
	assert_true(usage_add(fd, 1, 100)); /* nothing was counted yet */
	usage_set(fd, 10);
	assert_false(usage_add(fd, 80, 100));
	assert_false(usage_add(fd, 10, 100));
	assert_true(usage_add(fd, 1, 100));
	usage_set(fd, 10);
	assert_true(usage_add(fd, UINT64_MAX, UINT64_MAX));
	for (size_t i = 0; i < USAGE_ENTRIES_MAX; i++)
		assert_false(usage_add(fd, 0, 100));
	assert_true(usage_add(fd, 0, 100));

	/* While another process has it, nobody waits. */
	usage_set(fd, 10);
	cleanup_close int other = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(other, LOCK_EX), 0);
	assert_false(usage_add(fd, 1000, 100));
	assert_int_equal(flock(other, LOCK_UN), 0);

	/* Damaged, cut short, a symlink, a folder: it is counted. */
	assert_int_equal(pwrite(other, "x", 1, 0), 1);
	assert_true(usage_add(fd, 1, 100));
	usage_set(fd, 10);
	assert_int_equal(ftruncate(other, 10), 0);
	assert_true(usage_add(fd, 1, 100));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("target", path), 0);
	assert_true(usage_add(fd, 1, 100));
	usage_set(fd, 10);
	cleanup_free char *target = xasprintf("%s/target", folder);
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(usage_add(fd, 1, 100));
}

/* Two processes prune while a third makes entries: none fails, and all of them end. */
static void test_side_by_side(void **state)
{
	pid_t children[3];
	(void)state;
	for (size_t i = 0; i < COUNT(children); i++) {
		children[i] = fork();
		if (children[i] != 0)
			continue;
		struct error err;
		cleanup_cache struct cache *cache = open_cache();
		for (size_t round = 0; round < 60; round++) {
			const struct cache_prune_options all = {.kept_too = true};
			if (i < 2 && cache_prune(cache, &all, &err) < 0)
				_exit(1);
			if (i == 2) {
				char name[16];
				snprintf(name, sizeof(name), "n%zu", round);
				publish(cache, round % 2 ? "disk" : "mount", name, 1);
			}
		}
		_exit(0);
	}
	for (size_t i = 0; i < COUNT(children); i++) {
		int status;
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_roomy_folder, remove_folder)
	const struct CMUnitTest tests[] = {
		TEST(test_prune),
		TEST(test_min_free),
		TEST(test_in_use),
		TEST(test_eviction),
		TEST(test_published_late),
		TEST(test_too_large),
		TEST(test_eviction_free),
		TEST(test_small),
		TEST(test_usage),
		TEST(test_side_by_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
