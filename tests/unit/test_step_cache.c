/* Layers of finished steps come back as they were put there, or not at all. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "commands/step_cache.h"
#include "hostfiles.h"
#include "random_tree.h"
#include "support/fileio.h"
#include "support/memory.h"

/* A cache in a folder of its own, and a report. */
struct rig {
	char *folder;
	struct cache *cache;
	struct report *report;
	int report_fd;
};

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%s", err->message);
}

static void rig_open(struct rig *rig)
{
	struct error err;
	rig->folder = folder_new();
	assert_int_equal(setenv("LAYERVM_CACHE_DIR", rig->folder, 1), 0);
	must(cache_open(&rig->cache, &err), &err);
	rig->report = report_to_file(&rig->report_fd);
}

static void rig_close(struct rig *rig)
{
	cache_free(rig->cache);
	report_free(rig->report);
	close(rig->report_fd);
	folder_remove(rig->folder);
}

/* A "layer" of these bytes. */
static int layer_of(const void *data, size_t len, struct step_result *result)
{
	struct error err;
	int fd = memfd_create("layer", MFD_CLOEXEC);
	assert_true(fd >= 0);
	must(file_write_at(fd, data, len, 0, "layer", &err), &err);
	*result = (struct step_result){
		.layer = {.diff_id = digest_of(data, len), .size = len, .entries = 3},
		.changes = {.written = 2, .whiteouts = 1},
	};
	return fd;
}

static void put(struct rig *rig, const char *key_text, const void *data, size_t len)
{
	struct error err;
	struct step_result result;
	struct digest key = digest_of(key_text, strlen(key_text));
	cleanup_close int fd = layer_of(data, len, &result);
	must(step_cache_put(rig->cache, &key, &result, fd, &err), &err);
}

/* Returns whether there is such a step; then it is compared with the whole of what was put. */
static bool find(struct rig *rig, const char *key_text, const void *data, size_t len)
{
	struct error err;
	struct step_result expected, result;
	cleanup_buffer struct buffer bytes = {0};
	cleanup_close int fd = -1;
	cleanup_close int unused = layer_of(data, len, &expected);
	(void)unused;
	struct digest key = digest_of(key_text, strlen(key_text));
	int r = step_cache_find(rig->cache, &key, rig->report, &result, &fd, &err);
	must(r, &err);
	if (r == 0) {
		assert_int_equal(fd, -1);
		return false;
	}
	assert_memory_equal(&result, &expected, sizeof(result));
	must(file_read_all(fd, len + 1, &bytes, "layer", &err), &err);
	assert_int_equal(bytes.len, len);
	if (len != 0)
		assert_memory_equal(bytes.data, data, len);
	return true;
}

static char *entry_path(const struct rig *rig, const char *kind, const struct digest *key)
{
	char name[DIGEST_TEXT_SIZE];
	return xasprintf("%s/%s/%s", rig->folder, kind, digest_hex(key, name));
}

static bool has_entry(const struct rig *rig, const char *kind, const char *key_text)
{
	struct digest key = digest_of(key_text, strlen(key_text));
	cleanup_free char *path = entry_path(rig, kind, &key);
	return access(path, F_OK) == 0;
}

static void test_round_trip(void **state)
{
	struct random random = {.state = random_seed()};
	static uint8_t data[3 << 20];
	static const size_t sizes[] = {0, 1, 512, 1 << 20, (1 << 20) + 1, sizeof(data)};
	struct rig rig;
	(void)state;
	rig_open(&rig);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)random_below(&random, 256);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cleanup_free char *key = xasprintf("key %zu", i);
		assert_false(find(&rig, key, data, sizes[i]));
		put(&rig, key, data, sizes[i]);
		assert_true(find(&rig, key, data, sizes[i]));
		assert_true(find(&rig, key, data, sizes[i]));
	}
	cleanup_free char *text = reported(rig.report_fd);
	assert_string_equal(text, "");
	rig_close(&rig);
}

/* Of two runs of one step, the first that has ended is the one that others get. */
static void test_twice(void **state)
{
	struct rig rig;
	(void)state;
	rig_open(&rig);
	put(&rig, "key", "first", 5);
	put(&rig, "key", "other", 5);
	assert_true(find(&rig, "key", "first", 5));
	/* One layer for two steps. */
	put(&rig, "second", "first", 5);
	assert_true(find(&rig, "second", "first", 5));
	rig_close(&rig);
}

/* Changes a byte of a file, or with at < 0 its length by that much. */
static void damage(const char *path, off_t at)
{
	uint8_t byte;
	struct stat st;
	cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	if (at < 0) {
		assert_int_equal(ftruncate(fd, st.st_size + at), 0);
		return;
	}
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* Each kind of damage is seen, told and taken away; the step is put there anew. */
static void check_damage(const char *kind, const char *key_text, off_t at)
{
	struct rig rig;
	struct digest key = digest_of(key_text, strlen(key_text));
	rig_open(&rig);
	put(&rig, "key", "the layer", 9);
	cleanup_free char *path = entry_path(&rig, kind, &key);
	damage(path, at);
	if (find(&rig, "key", "the layer", 9))
		fail_msg("%s: damage at %lld is not seen", kind, (long long)at);
	cleanup_free char *text = reported(rig.report_fd);
	assert_non_null(strstr(text, "cache: a finished step is damaged, and is run again: "));
	assert_false(has_entry(&rig, STEP_KIND_RECORD, "key"));
	assert_int_equal(access(path, F_OK), -1);
	put(&rig, "key", "the layer", 9);
	assert_true(find(&rig, "key", "the layer", 9));
	rig_close(&rig);
}

static void test_damage(void **state)
{
	enum { RECORD_SIZE = 96 };
	(void)state;
	for (off_t at = -RECORD_SIZE; at < RECORD_SIZE; at++)
		check_damage(STEP_KIND_RECORD, "key", at);
	for (off_t at = -9; at < 9; at++)
		check_damage(STEP_KIND_LAYER, "the layer", at);
}

/* A record under another step's key is not taken for that step's. */
static void test_moved(void **state)
{
	struct rig rig;
	struct digest from = digest_of("key", 3), to = digest_of("other", 5);
	(void)state;
	rig_open(&rig);
	put(&rig, "key", "the layer", 9);
	cleanup_free char *from_path = entry_path(&rig, STEP_KIND_RECORD, &from);
	cleanup_free char *to_path = entry_path(&rig, STEP_KIND_RECORD, &to);
	assert_int_equal(link(from_path, to_path), 0);
	assert_false(find(&rig, "other", "the layer", 9));
	assert_true(find(&rig, "key", "the layer", 9));
	rig_close(&rig);
}

/* A layer that had to give way is no damage. */
static void test_layer_gone(void **state)
{
	struct rig rig;
	struct digest layer = digest_of("the layer", 9);
	(void)state;
	rig_open(&rig);
	put(&rig, "key", "the layer", 9);
	cleanup_free char *path = entry_path(&rig, STEP_KIND_LAYER, &layer);
	assert_int_equal(unlink(path), 0);
	assert_false(find(&rig, "key", "the layer", 9));
	assert_false(has_entry(&rig, STEP_KIND_RECORD, "key"));
	cleanup_free char *text = reported(rig.report_fd);
	assert_string_equal(text, "");
	rig_close(&rig);
}

static void test_check(void **state)
{
	struct rig rig;
	struct error err;
	struct digest key = digest_of("key", 3), other = digest_of("other", 5);
	(void)state;
	rig_open(&rig);
	put(&rig, "key", "the layer", 9);
	cleanup_free char *path = entry_path(&rig, STEP_KIND_RECORD, &key);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(step_cache_check(fd, &key, &err), 0);
	assert_true(step_cache_check(fd, &other, &err) < 0);
	assert_int_equal(err.kind, ERROR_INPUT);
	damage(path, 40);
	assert_true(step_cache_check(fd, &key, &err) < 0);
	assert_int_equal(err.kind, ERROR_INPUT);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_layer_gone),
		cmocka_unit_test(test_check),
	};
	return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
