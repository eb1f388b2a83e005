/* The folder of `build --keep`: what is written is read back, and what is wrong is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands/kept_disks.h"
#include "disk/disk.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define DISK_SIZE (1024 * 1024)

static const char *const env[] = {"PATH=/bin", "EMPTY=", NULL};
static const struct vm_job job = {.kind = VM_JOB_SCRIPT, .env = env, .cwd = "/srv"};

/* A folder that a build has left, in the working folder. */
static int enter_folder(void **state)
{
	char *folder = xstrdup("/tmp/layervm-test-kept-XXXXXX");
	if (mkdtemp(folder) == NULL || chdir(folder) < 0)
		return -1;
	*state = folder;
	struct error err;
	cleanup_close int base = -1;
	cleanup_close int overlay = -1;
	if (kept_disks_create("kept", &base, &overlay, &err) < 0 ||
		ftruncate(base, DISK_SIZE) < 0 || pwrite(base, "\x53\xef", 2, 1024 + 0x38) != 2 ||
		overlay_create(overlay, DISK_SIZE, &err) < 0 ||
		kept_disks_describe("kept", &job, 640, &err) < 0)
		return -1;
	return 0;
}

static int leave_folder(void **state)
{
	static const char *const names[] = {
		"kept/disk.ext4", "kept/overlay.qcow2", "kept/kept.json", "elsewhere"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		unlink(names[i]);
		rmdir(names[i]);
	}
	rmdir("kept");
	int r = chdir("/") == 0 ? rmdir(*state) : -1;
	free(*state);
	return r;
}

static void what_is_kept_is_read_back(void **state)
{
	(void)state;
	struct error err;
	struct stat kept_st, copy_st;
	cleanup_kept_disks struct kept_disks first = KEPT_DISKS_NONE;
	cleanup_kept_disks struct kept_disks second = KEPT_DISKS_NONE;
	assert_true(is_kept_disks("kept"));
	assert_false(is_kept_disks("."));
	assert_false(is_kept_disks("kept/kept.json"));
	assert_false(is_kept_disks("none"));
	if (kept_disks_open("kept", &first, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(first.cwd, "/srv");
	assert_int_equal(first.memory, 640);
	for (size_t i = 0; env[i] != NULL; i++)
		assert_string_equal(first.env[i], env[i]);
	assert_null(first.env[2]);

	/* Two at once, each with a copy to write to. */
	assert_int_equal(kept_disks_open("kept", &second, &err), 0);
	assert_int_equal(stat("kept/overlay.qcow2", &kept_st), 0);
	assert_int_equal(fstat(second.overlay, &copy_st), 0);
	assert_true(kept_st.st_ino != copy_st.st_ino);
	assert_int_equal(kept_st.st_size, copy_st.st_size);
	assert_int_equal(pwrite(first.overlay, "x", 1, 0), 1);
	assert_int_equal(fcntl(first.base, F_GETFL) & O_ACCMODE, O_RDONLY);
}

static void one_writes_or_many_read(void **state)
{
	(void)state;
	struct error err;
	struct stat st;
	cleanup_kept_disks struct kept_disks kept = KEPT_DISKS_NONE;
	cleanup_kept_disks struct kept_disks other = KEPT_DISKS_NONE;
	int base = -1, overlay = -1, base2 = -1, overlay2 = -1;
	assert_int_equal(kept_disks_open("kept", &kept, &err), 0);
	assert_int_equal(kept_disks_create("kept", &base, &overlay, &err), -EBUSY);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_non_null(strstr(err.message, "kept/disk.ext4: is in use by another layervm"));
	/* It is untouched. */
	assert_int_equal(stat("kept/disk.ext4", &st), 0);
	assert_int_equal(st.st_size, DISK_SIZE);
	kept_disks_close(&kept);

	assert_int_equal(kept_disks_create("kept", &base, &overlay, &err), 0);
	assert_int_equal(stat("kept/disk.ext4", &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(kept_disks_create("kept", &base2, &overlay2, &err), -EBUSY);
	assert_int_equal(kept_disks_describe("kept", &job, 640, &err), 0);
	assert_int_equal(kept_disks_open("kept", &other, &err), -EBUSY);
	assert_non_null(strstr(err.message, "a build is writing it"));
	close(base);
	close(overlay);
}

/* A build that ends early leaves what is not opened, and what a later build may replace. */
static void unfinished_disks(void **state)
{
	(void)state;
	struct error err;
	cleanup_kept_disks struct kept_disks kept = KEPT_DISKS_NONE;
	for (unsigned i = 0; i < 2; i++) {
		cleanup_close int base = -1;
		cleanup_close int overlay = -1;
		assert_int_equal(kept_disks_create("kept", &base, &overlay, &err), 0);
		assert_int_equal(ftruncate(base, DISK_SIZE), 0);
	}
	assert_true(is_kept_disks("kept"));
	assert_int_equal(kept_disks_open("kept", &kept, &err), -EINVAL);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_string_equal(err.message,
		"kept/kept.json: the build that was to leave its disks here ended before its guest "
		"had them; build again with --keep");
}

static void write_file(const char *path, const void *data, size_t len)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
}

static void patch(const char *path, const char *data, size_t len, off_t offset)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, data, len, offset), len);
}

static void description(const char *text)
{
	write_file("kept/kept.json", text, strlen(text));
}

static char *read_text(const char *path)
{
	struct error err;
	struct buffer text = {0};
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(file_read_all(fd, DISK_SIZE, &text, path, &err), 0);
	return buffer_steal_text(&text);
}

/* What no build has left stays as it is. */
static void foreign_files_stay(void **state)
{
	static const struct {
		const char *name;
		bool described, linked;
		const char *words;
	} table[] = {
		{"kept/disk.ext4", false, false,
			"kept/disk.ext4: is no disk that a build has kept"},
		{"kept/overlay.qcow2", false, false,
			"kept/overlay.qcow2: is no disk that a build has kept"},
		{"kept/disk.ext4", true, true,
			"kept/disk.ext4: is no regular file of this name alone"},
		{"kept/overlay.qcow2", true, true,
			"kept/overlay.qcow2: is no regular file of this name alone"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct error err;
		cleanup_close int base = -1;
		cleanup_close int overlay = -1;
		unlink("kept/disk.ext4");
		unlink("kept/overlay.qcow2");
		unlink("elsewhere");
		write_file(table[i].name, "a user's", 8);
		if (table[i].linked)
			assert_int_equal(link(table[i].name, "elsewhere"), 0);
		if (table[i].described)
			write_file("kept/kept.json", "{}", 2);
		else
			unlink("kept/kept.json");
		assert_int_equal(kept_disks_create("kept", &base, &overlay, &err), -EEXIST);
		assert_int_equal(err.kind, ERROR_OUTPUT);
		if (strncmp(err.message, table[i].words, strlen(table[i].words)) != 0)
			fail_msg("%s", err.message);
		cleanup_free char *text = read_text(table[i].name);
		assert_string_equal(text, "a user's");
	}
}

/* A file that is long for its holes costs no more than it has in it. */
static void holes_are_not_copied(void **state)
{
	(void)state;
	struct error err;
	struct stat st;
	char found[8];
	const off_t length = (off_t)100 << 30;
	cleanup_kept_disks struct kept_disks kept = KEPT_DISKS_NONE;
	assert_int_equal(truncate("kept/overlay.qcow2", length), 0);
	patch("kept/overlay.qcow2", "far away", 8, length - 8);
	if (kept_disks_open("kept", &kept, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(fstat(kept.overlay, &st), 0);
	assert_int_equal(st.st_size, length);
	assert_true(st.st_blocks < 4096);
	assert_int_equal(pread(kept.overlay, found, 8, length - 8), 8);
	assert_memory_equal(found, "far away", 8);
	assert_int_equal(pread(kept.overlay, found, 4, 0), 4);
	assert_memory_equal(found, "QFI\xfb", 4);
}

/* In a process of its own, which the signal is for. */
static void a_signal_ends_the_copy(void **state)
{
	(void)state;
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct error err;
		cleanup_kept_disks struct kept_disks kept = KEPT_DISKS_NONE;
		if (interrupt_setup(&err) < 0 || raise(SIGTERM) != 0)
			_exit(1);
		_exit(kept_disks_open("kept", &kept, &err) < 0 ? error_exit_status(&err) : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 128 + SIGTERM);
}

/* One thing wrong in a folder. */
static void no_description(void)
{
	unlink("kept/kept.json");
}

static void empty_description(void)
{
	description("");
}

static void other_version(void)
{
	description("{\"version\":2,\"env\":[],\"cwd\":\"/\",\"memory\":512}");
}

static void relative_cwd(void)
{
	description("{\"version\":1,\"env\":[],\"cwd\":\"srv\",\"memory\":512}");
}

static void little_memory(void)
{
	description("{\"version\":1,\"env\":[],\"cwd\":\"/\",\"memory\":63}");
}

static void much_memory(void)
{
	description("{\"version\":1,\"env\":[],\"cwd\":\"/\",\"memory\":1e9}");
}

static void env_of_numbers(void)
{
	description("{\"version\":1,\"env\":[1],\"cwd\":\"/\",\"memory\":512}");
}

static void env_without_name(void)
{
	description("{\"version\":1,\"env\":[\"=x\"],\"cwd\":\"/\",\"memory\":512}");
}

static void env_is_text(void)
{
	description("{\"version\":1,\"env\":\"A=1\",\"cwd\":\"/\",\"memory\":512}");
}

static void description_is_fifo(void)
{
	unlink("kept/kept.json");
	assert_int_equal(mkfifo("kept/kept.json", 0600), 0);
}

static void disk_is_symlink(void)
{
	assert_int_equal(rename("kept/disk.ext4", "elsewhere"), 0);
	assert_int_equal(symlink("../elsewhere", "kept/disk.ext4"), 0);
}

static void disk_is_folder(void)
{
	unlink("kept/disk.ext4");
	assert_int_equal(mkdir("kept/disk.ext4", 0700), 0);
}

static void disk_is_short(void)
{
	assert_int_equal(truncate("kept/disk.ext4", 4096), 0);
}

static void disk_is_odd(void)
{
	assert_int_equal(truncate("kept/disk.ext4", DISK_SIZE + 512), 0);
}

static void disk_is_huge(void)
{
	assert_int_equal(truncate("kept/disk.ext4", (UINT64_C(64) << 30) + 4096), 0);
}

static void disk_is_longer(void)
{
	assert_int_equal(truncate("kept/disk.ext4", DISK_SIZE + 4096), 0);
}

static void disk_is_no_ext4(void)
{
	patch("kept/disk.ext4", "\0", 1, 1024 + 0x38);
}

static void no_overlay(void)
{
	unlink("kept/overlay.qcow2");
}

static void overlay_is_raw(void)
{
	patch("kept/overlay.qcow2", "raw", 3, 0);
}

/* QEMU's docs/interop/qcow2.txt: backing_file_offset is at byte 8, its size at 16. */
static void overlay_over_another(void)
{
	patch("kept/overlay.qcow2", "\0\0\0\0\0\0\1\0\0\0\0\7", 12, 8);
	patch("kept/overlay.qcow2", "/shadow", 7, 256);
}

/* incompatible_features, bit 2: the data is in another file. */
static void overlay_with_data_file(void)
{
	patch("kept/overlay.qcow2", "\4", 1, 79);
}

static const struct {
	void (*damage)(void);
	const char *words;
} damages[] = {
	{no_description, "kept/kept.json: cannot be read: No such file or directory"},
	{empty_description, "kept/kept.json: is empty, a JSON object is wanted"},
	{other_version, "kept/kept.json: version: 1, which this layervm knows, is expected"},
	{relative_cwd, "kept/kept.json: cwd: an absolute path is expected"},
	{little_memory, "kept/kept.json: memory: a number of MiB from 64 to 1048576 is expected"},
	{much_memory, "kept/kept.json: memory: a number of MiB from 64 to 1048576 is expected"},
	{env_of_numbers, "kept/kept.json: env: a list of NAME=VALUE strings is expected"},
	{env_without_name, "kept/kept.json: env: a list of NAME=VALUE strings is expected"},
	{env_is_text, "kept/kept.json: env: a list of NAME=VALUE strings is expected"},
	{description_is_fifo, "kept/kept.json: is no regular file"},
	{disk_is_symlink, "kept/disk.ext4: cannot be read: Too many levels of symbolic links"},
	{disk_is_folder, "kept/disk.ext4: is no regular file"},
	{disk_is_short, "kept/disk.ext4: has 4096 bytes, a multiple of 4096 from 1 MiB to 64 GiB"},
	{disk_is_odd, "kept/disk.ext4: has 1049088 bytes"},
	{disk_is_huge, "kept/disk.ext4: has 68719480832 bytes"},
	{disk_is_longer,
		"kept/overlay.qcow2: is for a disk of 1048576 bytes, disk.ext4 has 1052672"},
	{disk_is_no_ext4, "kept/disk.ext4: is no ext4 file system"},
	{no_overlay, "kept/overlay.qcow2: cannot be read: No such file or directory"},
	{overlay_is_raw, "kept/overlay.qcow2: "},
	{overlay_over_another, "kept/overlay.qcow2: "},
	{overlay_with_data_file, "kept/overlay.qcow2: "},
};

static void what_is_wrong_is_refused(void **state)
{
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct error err;
		void *folder = NULL;
		cleanup_kept_disks struct kept_disks kept = KEPT_DISKS_NONE;
		(void)state;
		assert_int_equal(enter_folder(&folder), 0);
		damages[i].damage();
		int r = kept_disks_open("kept", &kept, &err);
		if (r == 0)
			fail_msg("not refused: %s", damages[i].words);
		if (strncmp(err.message, damages[i].words, strlen(damages[i].words)) != 0)
			fail_msg("expected\n%s\nfound\n%s", damages[i].words, err.message);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_int_equal(leave_folder(&folder), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_is_kept_is_read_back, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(
			one_writes_or_many_read, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(unfinished_disks, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(foreign_files_stay, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(holes_are_not_copied, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(a_signal_ends_the_copy, enter_folder, leave_folder),
		cmocka_unit_test(what_is_wrong_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
