/*
 * The guest itself: vm_run boots it on a small disk and runs real scripts, one for each way in
 * which a run can go and end. LAYERVM_TEST_ACCEL chooses kvm or auto; the default is tcg.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "guest_runs.h"
#include "skips.h"
#include "support/digest.h"
#include "support/fileio.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const plain_env[] = {"GREETING=hello  world", "HOME=/tmp", NULL};

/* How a script runs on a disk. */
struct settings {
	struct guest_settings guest;
	const char *const *env;
	const char *cwd;
};

static const struct settings usual = {
	.guest = {.root = ROOT_SHELL, .mode = REPORT_PLAIN, .memory_mib = 192, .timeout = 120},
	.env = plain_env,
	.cwd = "/",
};

static void run(const struct settings *settings, const char *script, struct guest_result *result)
{
	const struct vm_job job = {
		.script = script,
		.script_len = strlen(script),
		.env = settings->env,
		.cwd = settings->cwd,
	};
	guest_run(&settings->guest, &job, result);
}

static const char *text_of(const struct guest_result *result)
{
	return (const char *)result->text.data;
}

/* Scripts, and the whole of what they write and how they end. */
struct story {
	const char *name;
	const char *script;
	const char *text;    /* NULL: not looked at */
	const char *message; /* NULL: it ends well */
	enum error_kind kind;
	int status;
	enum root root;
};

static const struct story stories[] = {
	{"surroundings",
		"id -u; id -g; pwd; umask; echo \"$GREETING\"; echo $HOME; echo $PATH; cat; echo "
		"$-;\n"
		"readlink /proc/self/fd/0; ls /dev; ls /dev/shm; cat /sys/class/net/lo/operstate;\n"
		"echo x > /dev/full || true; echo pipe | cat > /dev/null; echo out > /dev/stdout;\n"
		"ls -ld /dev/shm /dev/pts /dev/null | cut -c1-10; grep -c ' / ext4 rw,noatime' "
		"/proc/mounts\n",
		"0\n0\n/\n0022\nhello  world\n/tmp\n"
		"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/dev/.layervm/bin\n"
		"e\n/dev/null\n"
		"console\nfd\nfull\nfuse\nloop-control\nloop0\nloop1\nloop2\nloop3\nloop4\n"
		"loop5\nloop6\nloop7\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\n"
		"urandom\nzero\nunknown\n"
		"sh: write error: No space left on device\nout\n"
		"crw-rw-rw-\ndrwxr-xr-x\ndrwxrwxrwt\n1\n",
		NULL, 0, 0, ROOT_SHELL},
	{"no guests of its own", "grep -owE 'vmx|svm' /proc/cpuinfo || echo neither", "neither\n",
		NULL, 0, 0, ROOT_SHELL},
	{"exit 7", "echo a; exit 7", "a\n", "the script ended with status 7", ERROR_SCRIPT, 7,
		ROOT_SHELL},
	{"a failing command", "false; echo not reached", "", "the script ended with status 1",
		ERROR_SCRIPT, 1, ROOT_SHELL},
	{"signal", "kill -9 $$", "", "the script was ended by signal 9 (SIGKILL)", ERROR_SCRIPT,
		137, ROOT_SHELL},
	{"no command", "no-such-command 2> /dev/null", "", "the script ended with status 127",
		ERROR_SCRIPT, 127, ROOT_SHELL},
	{"interpreter", "#!/bin/busybox cat\nthis text\n", "#!/bin/busybox cat\nthis text\n", NULL,
		0, 0, ROOT_SHELL},
	{"no interpreter", "#! /no/such arg\n", "",
		"the script cannot be run: the script's interpreter /no/such is not in the image",
		ERROR_SCRIPT, 127, ROOT_SHELL},
	{"interpreter of no use", "#!/tmp\n", "",
		"the script cannot be run: the script's interpreter /tmp cannot be run: Permission "
		"denied",
		ERROR_SCRIPT, 126, ROOT_SHELL},
	{"bash first", "echo not this", "bash -e /dev/.layervm/script\n", NULL, 0, 0, ROOT_BASH},
	{"toolbox", "echo $0; type ls; ls /dev/.layervm/script", NULL, NULL, 0, 0, ROOT_EMPTY},
	{"proc is a symlink", "true", "",
		"/proc of the image is a symlink, where a folder to mount proc on is "
		"needed",
		ERROR_GUEST, 0, ROOT_LINK},
	{"dev is missing", "true", "",
		"the image has no folder /dev to mount tmpfs on: No such file or "
		"directory",
		ERROR_GUEST, 0, ROOT_NO_DEV},
	{"a fault of the disk after one of its own",
		"dd if=/dev/zero of=/swap bs=1M count=4 2> /dev/null; mkswap /swap > /dev/null; "
		"swapon /swap; exit 3",
		NULL, "the script ended with status 3", ERROR_SCRIPT, 3, ROOT_SHELL},
	{"left running", "(trap '' TERM HUP; sleep 1000) & echo on", "on\n", NULL, 0, 0,
		ROOT_SHELL},
	{"left mounted", "mkdir /m; mount -t tmpfs t /m; echo x > /m/x; cd /m; sleep 1000 &", "",
		NULL, 0, 0, ROOT_SHELL},
	{"disk full", "dd if=/dev/zero of=/big bs=1M count=100 2> /dev/null || exit 3", "",
		"the script ended with status 3 after the guest's disk was full; raise diskSize",
		ERROR_DISK_FULL, 3, ROOT_SHELL},
	{"disk full, tidied up",
		"dd if=/dev/zero of=/big bs=1M count=100 || { sleep 0.3; rm /big; exit 3; }", NULL,
		"the script ended with status 3 after the guest's disk was full; raise diskSize",
		ERROR_DISK_FULL, 3, ROOT_SHELL},
	{"inodes gone", "i=0; while :; do : > /tmp/$i; i=$((i + 1)); done 2> /dev/null", "",
		"the script ended with status 1 after the guest's disk had no room for more files; "
		"raise diskSize",
		ERROR_DISK_FULL, 1, ROOT_SHELL},
	{"panic", "echo c > /proc/sysrq-trigger; sleep 100", NULL,
		"the guest's kernel gave up while the script ran: Kernel panic - not syncing: "
		"sysrq "
		"triggered crash",
		ERROR_GUEST, 0, ROOT_SHELL},
	{"power off", "poweroff -f; sleep 100", NULL,
		"the guest was switched off or reset while the script ran", ERROR_GUEST, 0,
		ROOT_SHELL},
	{"reset", "reboot -f; sleep 100", NULL,
		"the guest was switched off or reset while the script ran", ERROR_GUEST, 0,
		ROOT_SHELL},
};

static void check_story(const struct story *story)
{
	struct settings settings = usual;
	cleanup_guest_result struct guest_result result;
	settings.guest.root = story->root;
	run(&settings, story->script, &result);
	print_message("%-22s booted in %.2f s, ran %.2f s\n", story->name,
		result.outcome.boot_seconds, result.outcome.run_seconds);
	if (story->message == NULL ? result.r < 0 : result.r == 0)
		fail_msg("%s: %d: %s\n%s", story->name, result.r,
			result.r < 0 ? result.err.message : "ended well", text_of(&result));
	if (story->message != NULL) {
		assert_string_equal(result.err.message, story->message);
		assert_int_equal(result.err.kind, story->kind);
	}
	if (story->text != NULL)
		assert_string_equal(text_of(&result), story->text);
	assert_int_equal(result.outcome.exit_status, story->status);
}

static void test_stories(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(stories); i++)
		check_story(&stories[i]);
}

static void test_disk_is_complete(void **state)
{
	static const char script[] = "echo kept > /kept; mkdir /d; dd if=/dev/urandom of=/d/f "
				     "bs=1M count=20 2> /dev/null; "
				     "sha256sum < /d/f; rmdir /tmp; cat /kept";
	cleanup_guest_result struct guest_result result;
	cleanup_buffer struct buffer content = {0};
	struct error err;
	char hex[DIGEST_TEXT_SIZE];
	(void)state;
	run(&usual, script, &result);
	if (result.r < 0)
		fail_msg("%s", result.err.message);
	cleanup_free char *image = disks_merge(ROOT_SHELL);
	cleanup_free char *dumped = disks_path("f");
	assert_int_equal(
		run_tool("check.log", (const char *const[]){"e2fsck", "-fn", image, NULL}), 0);
	cleanup_free char *command = xasprintf("dump /d/f %s", dumped);
	assert_int_equal(
		run_tool("dump.log", (const char *const[]){"debugfs", "-R", command, image, NULL}),
		0);
	cleanup_close int fd = open(dumped, O_RDONLY | O_CLOEXEC);
	assert_int_equal(file_read_all(fd, 64u << 20, &content, "f", &err), 0);
	assert_int_equal(content.len, 20u << 20);
	const struct digest digest = digest_of(content.data, content.len);
	cleanup_free char *expected = xasprintf("%s  -\nkept\n", digest_hex(&digest, hex));
	assert_string_equal(text_of(&result), expected);
}

static void test_much_output(void **state)
{
	cleanup_guest_result struct guest_result result;
	cleanup_buffer struct buffer expected = {0};
	(void)state;
	run(&usual, "seq 1 1500000", &result);
	if (result.r < 0)
		fail_msg("%s", result.err.message);
	for (unsigned i = 1; i <= 1500000; i++)
		buffer_printf(&expected, "%u\n", i);
	assert_true(expected.len > 10u << 20);
	assert_int_equal(result.text.len, expected.len + 1);
	assert_memory_equal(result.text.data, expected.data, expected.len);
}

static void test_streams_apart(void **state)
{
	struct settings settings = usual;
	cleanup_guest_result struct guest_result result;
	(void)state;
	settings.guest.mode = REPORT_JSON;
	run(&settings, "echo one; sleep 0.3; echo two >&2; sleep 0.3; echo three", &result);
	assert_int_equal(result.r, 0);
	assert_string_equal(text_of(&result), "{\"type\":\"stdout\",\"text\":\"one\\u000a\"}\n"
					      "{\"type\":\"stderr\",\"text\":\"two\\u000a\"}\n"
					      "{\"type\":\"stdout\",\"text\":\"three\\u000a\"}\n");
}

/* Where nothing tells the two outputs apart, they come in the order in which they were written. */
static void test_streams_in_order(void **state)
{
	cleanup_guest_result struct guest_result result;
	cleanup_buffer struct buffer expected = {0};
	(void)state;
	run(&usual, "i=0; while [ $i -lt 300 ]; do echo e$i >&2; echo o$i; i=$((i + 1)); done",
		&result);
	assert_int_equal(result.r, 0);
	for (unsigned i = 0; i < 300; i++)
		buffer_printf(&expected, "e%u\no%u\n", i, i);
	buffer_add(&expected, "", 1);
	assert_string_equal(text_of(&result), (const char *)expected.data);
}

static void test_working_directory(void **state)
{
	static const char *const env[] = {"PATH=/x", NULL};
	static const char *const empty[] = {"PATH=", NULL};
	struct settings settings = usual;
	cleanup_guest_result struct guest_result there, no_path, missing;
	(void)state;
	settings.cwd = "/tmp";
	settings.env = env;
	run(&settings, "pwd; echo $PATH; echo $HOME", &there);
	assert_int_equal(there.r, 0);
	assert_string_equal(text_of(&there), "/tmp\n/x:/dev/.layervm/bin\n/root\n");
	/* An empty PATH has no empty part, which would be the working folder. */
	settings.env = empty;
	run(&settings, "/bin/busybox echo $PATH", &no_path);
	assert_string_equal(text_of(&no_path), "/dev/.layervm/bin\n");
	settings.cwd = "/nowhere";
	run(&settings, "pwd", &missing);
	assert_int_equal(missing.err.kind, ERROR_SCRIPT);
	assert_string_equal(missing.err.message, "the script cannot be run: cannot enter the "
						 "working directory /nowhere: No such file "
						 "or directory");
	assert_int_equal(missing.err.status, 126);
}

static void test_memory(void **state)
{
	struct settings settings = usual;
	cleanup_guest_result struct guest_result killed, shm, small;
	(void)state;
	settings.guest.memory_mib = 128;
	run(&settings, "dd if=/dev/zero of=/dev/null bs=80M count=9", &killed);
	assert_int_equal(killed.err.kind, ERROR_MEMORY);
	assert_string_equal(killed.err.message,
		"the script ended with status 137 after the guest ran out of its 128 MiB of memory "
		"(its kernel killed 1 processes); raise buildVMMemorySize (--memory)");
	assert_int_equal(killed.outcome.exit_status, 137);
	run(&settings, "mount -o remount,size=200m /dev/shm; dd if=/dev/zero of=/dev/shm/x bs=1M",
		&shm);
	assert_int_equal(shm.err.kind, ERROR_MEMORY);
	settings.guest.memory_mib = 48;
	run(&settings, "true", &small);
	assert_int_equal(small.err.kind, ERROR_MEMORY);
	assert_string_equal(small.err.message,
		"the guest did not come up with 48 MiB of memory, it "
		"needs 96; raise buildVMMemorySize (--memory)");
}

static void test_time_limit(void **state)
{
	struct settings settings = usual;
	cleanup_guest_result struct guest_result obeys, refuses;
	(void)state;
	settings.guest.timeout = 8;
	run(&settings, "trap 'echo ended; exit 0' TERM; echo on; sleep 1000 & wait", &obeys);
	assert_int_equal(obeys.err.kind, ERROR_TIMEOUT);
	assert_string_equal(text_of(&obeys), "on\nended\n");
	run(&settings, "trap '' TERM; echo on; while :; do sleep 1; done", &refuses);
	assert_int_equal(refuses.err.kind, ERROR_TIMEOUT);
	assert_string_equal(refuses.err.message,
		"the script was not done after the 8 seconds of the time limit (--timeout)");
	assert_string_equal(text_of(&refuses), "on\n");
}

/* An overlay that cannot grow, as on a full disk: the guest's writes fail. */
static void test_host_disk_errors(void **state)
{
	struct rlimit before, small;
	cleanup_guest_result struct guest_result result;
	(void)state;
	assert_return_code(getrlimit(RLIMIT_FSIZE, &before), errno);
	small = (struct rlimit){8u << 20, before.rlim_max};
	assert_return_code(setrlimit(RLIMIT_FSIZE, &small), errno);
	run(&usual, "dd if=/dev/urandom of=/big bs=1M count=20; echo done", &result);
	assert_return_code(setrlimit(RLIMIT_FSIZE, &before), errno);
	assert_int_equal(result.err.kind, ERROR_GUEST);
	assert_string_equal(result.err.message,
		"not all of the image's disk could be written: Input/output error");
	assert_int_equal(result.outcome.exit_status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stories),
		cmocka_unit_test(test_disk_is_complete),
		cmocka_unit_test(test_much_output),
		cmocka_unit_test(test_streams_apart),
		cmocka_unit_test(test_streams_in_order),
		cmocka_unit_test(test_working_directory),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_time_limit),
		cmocka_unit_test(test_host_disk_errors),
	};
	if (!disks_possible())
		return SKIPPED_STATUS;
	return cmocka_run_group_tests_name("guest", tests, disks_set_up, disks_tear_down);
}
