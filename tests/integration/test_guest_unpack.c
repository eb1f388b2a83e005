/*
 * Two ways to merge an image's layers, which share no code for what layers mean: layer_apply, and
 * the guest that unpacks them. Of each fixture, of a stack of everything and of random stacks both
 * give the same tar, byte for byte. LAYERVM_FIXTURES: the fixtures; LAYERVM_TEST_SEED: for random
 * stacks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../unit/random_tree.h"
#include "../unit/tree_text.h"
#include "commands/guest_unpack.h"
#include "disk/disk.h"
#include "layer/layer.h"
#include "layer_stacks.h"
#include "skips.h"
#include "support/fileio.h"
#include "tree/changes.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RANDOM_STACKS 3
#define RANDOM_ENTRIES 600

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static enum vm_accel chosen_accel(void)
{
	const char *name = getenv("LAYERVM_TEST_ACCEL");
	if (name != NULL && strcmp(name, "kvm") == 0)
		return VM_ACCEL_KVM;
	return name != NULL && strcmp(name, "auto") == 0 ? VM_ACCEL_AUTO : VM_ACCEL_TCG;
}

static int unpack(
	const struct image *image, uint64_t disk_size, struct tree *tree, struct error *err)
{
	cleanup_report struct report *report = report_new(REPORT_QUIET, STDERR_FILENO);
	const struct guest_unpack_options options = {
		.report = report,
		.accel = chosen_accel(),
		.memory_mib = 256,
		.cpus = 1,
		.timeout = 300,
		.disk_size = disk_size,
	};
	cleanup_guest_unpacked struct guest_unpacked unpacked = GUEST_UNPACKED_NONE;
	int r = guest_unpack_disk(&options, image, tree, &unpacked, err);
	return r < 0 ? r : disk_reread(tree, unpacked.base, unpacked.overlay, err);
}

static int apply(const struct image *image, struct tree *tree, struct error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < image->layer_count; i++) {
		const struct image_layer *layer = &image->layers[i];
		int fd = fcntl(layer->tar_fd, F_DUPFD_CLOEXEC, 0);
		assert_true(fd >= 0);
		struct source *source = source_from_fd(fd, layer->tar_offset, "layer");
		r = layer_apply(tree, source, layer->tar_size, "layer", err);
	}
	return r;
}

static struct layer_info write_tar(struct tree *tree)
{
	static const struct layer_options options = {.keep_mtime = true};
	struct layer_info info;
	struct error err;
	cleanup_close int fd = file_temporary(&err);
	assert_true(fd >= 0);
	changes_mark_all(tree);
	if (layer_write(tree, fd, &options, &info, &err) < 0)
		fail_msg("%s", err.message);
	return info;
}

/* Compares the trees that the two ways made; the first line that differs is shown. */
static void compare(const char *name, struct tree *direct, struct tree *guest)
{
	char *one = tree_text(direct);
	char *other = tree_text(guest);
	char *one_rest = one;
	char *other_rest = other;
	while (one_rest != NULL || other_rest != NULL) {
		const char *a = strsep(&one_rest, "\n");
		const char *b = strsep(&other_rest, "\n");
		if (a == NULL || b == NULL || strcmp(a, b) != 0)
			fail_msg("%s:\n  applied:  %s\n  unpacked: %s", name, a != NULL ? a : "-",
				b != NULL ? b : "-");
	}
	free(one);
	free(other);
	struct layer_info expected = write_tar(direct);
	struct layer_info found = write_tar(guest);
	assert_true(expected.size > 0 && expected.entries > 0);
	assert_int_equal(found.size, expected.size);
	assert_int_equal(found.entries, expected.entries);
	if (!digest_equal(&found.diff_id, &expected.diff_id))
		fail_msg("%s: the tars differ", name);
}

static void check_image(const char *name, const struct image *image, struct tree *direct)
{
	struct error err;
	cleanup_tree struct tree *guest = tree_new();
	double start = now();
	if (unpack(image, GUEST_UNPACK_DISK_SIZE, guest, &err) < 0)
		fail_msg("%s: %s", name, err.message);
	double seconds = now() - start;
	compare(name, direct, guest);
	print_message("%-40s %2zu layers, %5llu entries: %.2f s\n", name, image->layer_count,
		(unsigned long long)tree_count(guest), seconds);
}

static bool is_good(const char *name)
{
	return strncmp(name, "BAD-", 4) != 0 && strstr(name, ".tar") != NULL;
}

static void test_fixtures(void **state)
{
	const char *folder = getenv("LAYERVM_FIXTURES");
	unsigned count = 0;
	(void)state;
	if (folder == NULL) {
		skip_test("fixtures");
		return; /* for the analyser: skip does not come back */
	}
	DIR *stream = opendir(folder);
	assert_non_null(stream);
	for (struct dirent *e = readdir(stream); e != NULL; e = readdir(stream)) {
		static const struct image_options options = {.architecture = "amd64"};
		struct error err;
		cleanup_image struct image *image = NULL;
		cleanup_tree struct tree *direct = tree_new();
		if (!is_good(e->d_name))
			continue;
		cleanup_free char *path = xasprintf("%s/%s", folder, e->d_name);
		if (image_open(path, &options, &image, &err) < 0 || apply(image, direct, &err) < 0)
			fail_msg("%s: %s", e->d_name, err.message);
		check_image(e->d_name, image, direct);
		count++;
	}
	closedir(stream);
	assert_true(count > 0);
}

static void test_everything(void **state)
{
	struct error err;
	cleanup_stack struct stack stack = {0};
	cleanup_tree struct tree *direct = tree_new();
	(void)state;
	stack_of_everything(&stack);
	stack_finish(&stack);
	if (stack_apply(&stack, direct, &err) < 0)
		fail_msg("%s", err.message);
	check_image("everything", &stack.image, direct);
}

static void test_random(void **state)
{
	uint64_t seed = random_seed();
	(void)state;
	for (unsigned i = 0; i < RANDOM_STACKS; i++) {
		struct error err;
		cleanup_stack struct stack stack = {0};
		cleanup_tree struct tree *direct = tree_new();
		cleanup_free char *name = xasprintf("random %u", i);
		stack_of_random(&stack, seed + i, RANDOM_ENTRIES);
		stack_finish(&stack);
		assert_int_equal(stack_apply(&stack, direct, &err), 0);
		check_image(name, &stack.image, direct);
	}
}

static void test_no_layers(void **state)
{
	cleanup_image struct image *image = image_scratch();
	cleanup_tree struct tree *direct = tree_new();
	(void)state;
	check_image("no layers", image, direct);
}

/* What a layer cannot do, and how it is told: which layer, which entry, what. */
static const struct {
	struct stack_entry entry;
	enum error_kind kind;
	const char *message;
} faults[] = {
	{{"a/new", '1', 0644, 0, 0, 0, 0, "a/none", 0, 0, NULL, 0}, ERROR_INPUT,
		"layer 2 of 2: a/new: a hard link to \"a/none\", which is not there"},
	{{"a/file/x", '0', 0644, 0, 0, 0, 0, "x", 0, 0, NULL, 0}, ERROR_INPUT,
		"layer 2 of 2: a/file/x: its parent \"a/file\" is no directory"},
	{{"../x", '0', 0644, 0, 0, 0, 0, "x", 0, 0, NULL, 0}, ERROR_INPUT,
		"layer 2 of 2: ../x: its \"..\" leads out of the image"},
	{{"a/.wh.", '0', 0644, 0, 0, 0, 0, "x", 0, 0, NULL, 0}, ERROR_INPUT,
		"layer 2 of 2: a/.wh.: a whiteout of no name"},
	{{"a/dev", '3', 0644, 0, 0, 0, 0, NULL, 1, 1 << 20, NULL, 0}, ERROR_INPUT,
		"layer 2 of 2: a/dev: device number 1:1048576 is over Linux's 4095:1048575"},
	{{"a/link", '2', 0777, 0, 0, 0, 0, "file", 0, 0, "user.x=on a symlink", 0}, ERROR_INPUT,
		"layer 2 of 2: a/link: attribute user.x of 12 bytes: Linux does not take it: "
		"Operation not permitted"},
};

static void test_faults(void **state)
{
	static const struct stack_entry lower = {
		"a/file", '0', 0644, 0, 0, 0, 0, "lower", 0, 0, NULL, 0};
	(void)state;
	for (size_t i = 0; i < COUNT(faults); i++) {
		struct error err = {0};
		cleanup_stack struct stack stack = {0};
		cleanup_tree struct tree *guest = tree_new();
		stack_begin_layer(&stack);
		stack_add(&stack, &lower);
		stack_begin_layer(&stack);
		stack_add(&stack, &faults[i].entry);
		stack_finish(&stack);
		int r = unpack(&stack.image, 64, guest, &err);
		assert_true(r < 0);
		assert_string_equal(err.message, faults[i].message);
		assert_int_equal(err.kind, faults[i].kind);
	}
}

/* An absolute symlink and a file through it: the image's own, whatever the guest's root has. */
static void test_absolute_symlink(void **state)
{
	static const struct stack_entry entries[] = {
		{"layers", '5', 0755, 0, 0, 0, 0, NULL, 0, 0, NULL, 0},
		{"link", '2', 0777, 0, 0, 0, 0, "/layers", 0, 0, NULL, 0},
		{"link/x", '0', 0644, 0, 0, 0, 0, "x", 0, 0, NULL, 0},
	};
	struct error err;
	cleanup_stack struct stack stack = {0};
	cleanup_tree struct tree *direct = tree_new();
	(void)state;
	for (size_t i = 0; i < COUNT(entries); i++) {
		stack_begin_layer(&stack);
		stack_add(&stack, &entries[i]);
	}
	stack_finish(&stack);
	assert_int_equal(stack_apply(&stack, direct, &err), 0);
	assert_non_null(tree_walk(direct, "layers/x"));
	check_image("absolute symlink", &stack.image, direct);
}

/* More room than a disk can have is refused, before any guest. */
static void test_too_much_room(void **state)
{
	static const uint64_t sizes[] = {61441, UINT64_MAX / 2, UINT64_MAX};
	struct error err;
	cleanup_image struct image *image = image_scratch();
	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		cleanup_tree struct tree *guest = tree_new();
		cleanup_free char *message = xasprintf(
			"%llu MiB of room on the disk that layers are unpacked to, at most 61440 "
			"are possible",
			(unsigned long long)sizes[i]);
		assert_int_equal(unpack(image, sizes[i], guest, &err), -EFBIG);
		assert_int_equal(err.kind, ERROR_SPEC);
		assert_string_equal(err.message, message);
	}
}

static void test_truncated_blob(void **state)
{
	struct error err = {0};
	cleanup_stack struct stack stack = {0};
	cleanup_tree struct tree *guest = tree_new();
	(void)state;
	stack_of_everything(&stack);
	stack_finish(&stack);
	stack.layers[1].blob_size -= 20; /* of gzip */
	assert_true(unpack(&stack.image, 64, guest, &err) < 0);
	assert_string_equal(err.message, "layer 2 of 3: cannot be inflated: truncated gzip input");
	assert_int_equal(err.kind, ERROR_INPUT);
}

/* A layer that is said to be small gets no more room than that. */
static void test_disk_full(void **state)
{
	struct error err = {0};
	cleanup_stack struct stack stack = {0};
	cleanup_tree struct tree *guest = tree_new();
	cleanup_free char *text = xmalloc(40 << 20);
	struct stack_entry entry = {"big", '0', 0644, 0, 0, 0, 0, text, 0, 0, NULL, 0};
	(void)state;
	memset(text, 'x', 40 << 20);
	text[(40 << 20) - 1] = '\0';
	stack_begin_layer(&stack);
	stack_add(&stack, &entry);
	stack_finish(&stack);
	stack.layers[0].tar_size = 0;
	assert_true(unpack(&stack.image, 8, guest, &err) < 0);
	assert_string_equal(err.message,
		"the guest's disk was full before all layers were unpacked; raise diskSize: layer "
		"1 of 1: big: cannot be written: No space left on device");
	assert_int_equal(err.kind, ERROR_DISK_FULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_no_layers),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_absolute_symlink),
		cmocka_unit_test(test_too_much_room),
		cmocka_unit_test(test_truncated_blob),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_fixtures),
	};
	return cmocka_run_group_tests_name("guest_unpack", tests, NULL, NULL);
}
