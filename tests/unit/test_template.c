/* What a template is for: its key, for all that it depends on, and whether a run's disks fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/template.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char folder[] = "/tmp/layervm-template-XXXXXX";
static char *qemu, *other_qemu, *kernel, *initrd;

static struct vm_options plain_options(void)
{
	return (struct vm_options){
		.qemu = qemu,
		.kernel = kernel,
		.initrd = initrd,
		.accel = VM_ACCEL_TCG,
		.memory_mib = 16,
		.cpus = 1,
		.disk_fd = -1,
		.overlay_fd = -1,
	};
}

static struct digest key_of(const struct vm_options *options)
{
	struct digest key;
	struct error err = {0};
	if (template_key(options, &key, &err) < 0)
		fail_msg("%s", err.message);
	return key;
}

static void check_key(const struct vm_options *options, const struct digest *old, bool same)
{
	struct digest key = key_of(options);
	assert_int_equal(memcmp(&key, old, sizeof(key)) == 0, same);
}

/* The same length, but another time. */
static void touch(const char *path)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000}};
	assert_return_code(utimensat(AT_FDCWD, path, times, 0), errno);
}

static void test_key(void **state)
{
	struct error err;
	(void)state;
	const struct vm_options options = plain_options();
	struct vm_options changed = options;
	const struct digest key = key_of(&options);
	check_key(&options, &key, true);
	changed.disk_fd = 40;
	changed.overlay_fd = 41;
	changed.disk_size = 1;
	changed.timeout = 1;
	changed.log_limit = 7;
	check_key(&changed, &key, true);
	changed = options;
	changed.memory_mib++;
	check_key(&changed, &key, false);
	changed = options;
	changed.cpus = 2;
	check_key(&changed, &key, false);
	changed = options;
	changed.accel = VM_ACCEL_KVM;
	check_key(&changed, &key, false);
	changed = options;
	changed.qemu = other_qemu;
	check_key(&changed, &key, false);
	changed = options;
	changed.kernel = initrd;
	check_key(&changed, &key, false);
	changed.kernel = "/no/such";
	assert_int_equal(template_key(&changed, &(struct digest){0}, &err), -ENOENT);
	assert_int_equal(err.kind, ERROR_INTERNAL);
	changed.qemu = "/no/such";
	assert_int_equal(template_key(&changed, &(struct digest){0}, &err), -ENOENT);
	assert_int_equal(err.kind, ERROR_QEMU);
	touch(kernel);
	check_key(&options, &key, false);
	const struct digest touched = key_of(&options);
	touch(initrd);
	check_key(&options, &touched, false);
}

static char *disk_word(const struct vm_disk *disk)
{
	return disk->writable ? "kept" : disk->overlay_fd >= 0 ? "overlay" : "read-only";
}

static char *set_words(const struct vm_options *options)
{
	struct buffer words = {0};
	buffer_printf(&words, "%s", options->network != NULL ? "network" : "none");
	for (size_t i = 0; i < options->further_count; i++)
		buffer_printf(&words, ", %s", disk_word(&options->further[i]));
	return buffer_steal_text(&words);
}

/*
 * Each set of devices has a key of its own: as many further disks, in an order, each written or
 * not, and a network. Which files they are, and what takes the writes, makes no difference.
 */
static void test_key_of_sets(void **state)
{
	static const struct vm_network network = {.fd = 7}, other_network = {.fd = -1, .mtu = 1};
	static const struct vm_disk read_only = {.fd = 8, .overlay_fd = -1},
				    other = {.fd = 9, .overlay_fd = -1},
				    overlay = {.fd = 8, .overlay_fd = 10},
				    kept = {.fd = 11, .overlay_fd = -1, .writable = true},
				    other_kept = {.fd = 11,
					    .overlay_fd = -1,
					    .writable = true,
					    .size = 1};
	const struct {
		unsigned set;
		struct vm_disk disks[2];
		size_t count;
		const struct vm_network *network;
	} rows[] = {
		{0, {{0}}, 0, NULL},
		{1, {{0}}, 0, &network},
		{1, {{0}}, 0, &other_network},
		{2, {read_only}, 1, NULL},
		{2, {other}, 1, NULL},
		{3, {read_only}, 1, &network},
		{4, {overlay}, 1, NULL},
		{4, {kept}, 1, NULL},
		{4, {other_kept}, 1, NULL},
		{5, {kept}, 1, &network},
		{6, {read_only, read_only}, 2, NULL},
		{7, {read_only, kept}, 2, NULL},
		{7, {read_only, overlay}, 2, NULL},
		{8, {overlay, read_only}, 2, NULL},
		{9, {overlay, kept}, 2, NULL},
		{9, {kept, kept}, 2, NULL},
		{10, {kept, kept}, 2, &network},
	};
	struct digest keys[COUNT(rows)];
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct vm_options options = plain_options();
		options.further = rows[i].disks;
		options.further_count = rows[i].count;
		options.network = rows[i].network;
		keys[i] = key_of(&options);
		for (size_t j = 0; j < i; j++) {
			bool same = memcmp(&keys[i], &keys[j], sizeof(keys[i])) == 0;
			cleanup_free char *words = set_words(&options);
			if (same != (rows[i].set == rows[j].set))
				fail_msg("rows %zu and %zu (%s): %s", j, i, words,
					same ? "one key" : "two keys");
		}
	}
}

static int disk_of(off_t size)
{
	struct error err;
	int fd = file_temporary(&err);
	assert_true(fd >= 0);
	assert_return_code(ftruncate(fd, size), errno);
	return fd;
}

/* A guest that was saved takes its disks for as large as they were. */
static void test_check(void **state)
{
	cleanup_close int whole = disk_of((off_t)VM_DISK_SIZE);
	cleanup_close int small = disk_of((off_t)VM_DISK_SIZE - 1);
	cleanup_close int large = disk_of((off_t)VM_DISK_SIZE + 1);
	const struct {
		int disk, first, second;
		const char *message; /* NULL: it fits */
	} rows[] = {
		{-1, -1, -1, NULL},
		{whole, whole, whole, NULL},
		{small, whole, whole,
			"the guest's disk: its file is 68719476735 bytes long, and a saved guest "
			"takes its disks for 68719476736"},
		{whole, large, whole,
			"the guest's further disk 1: its file is 68719476737 bytes long, and a "
			"saved guest takes its disks for 68719476736"},
		{-1, whole, small,
			"the guest's further disk 2: its file is 68719476735 bytes long, and a "
			"saved guest takes its disks for 68719476736"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		const struct vm_disk further[] = {{.fd = rows[i].first, .overlay_fd = -1},
			{.fd = rows[i].second, .overlay_fd = -1, .writable = true}};
		const struct vm_options options = {.disk_fd = rows[i].disk,
			.overlay_fd = -1,
			.further = further,
			.further_count = COUNT(further)};
		int r = template_check(&options, &err);
		assert_int_equal(r, rows[i].message != NULL ? -EINVAL : 0);
		if (r < 0) {
			assert_string_equal(err.message, rows[i].message);
			assert_int_equal(err.kind, ERROR_LIMIT);
		}
	}
}

/* -- all of it -------------------------------------------------------------------------------- */

static char *make_file(const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", folder, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	return fd >= 0 ? steal_ptr(&path) : NULL;
}

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	qemu = make_file("qemu");
	other_qemu = make_file("other");
	kernel = make_file("vmlinux");
	initrd = make_file("initramfs.cpio");
	return qemu != NULL && other_qemu != NULL && kernel != NULL && initrd != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
	char *const files[] = {qemu, other_qemu, kernel, initrd};
	(void)state;
	for (size_t i = 0; i < COUNT(files); i++) {
		unlink(files[i]);
		free(files[i]);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_key_of_sets),
		cmocka_unit_test(test_check),
	};
	return cmocka_run_group_tests_name("template", tests, make_folder, remove_folder);
}
