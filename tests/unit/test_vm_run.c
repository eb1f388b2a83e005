/* vm_run against a QEMU that is none (fake_qemu.h): every way in which a run can end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake_qemu.h"
#include "skips.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "vm/vm.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DISK_SIZE (64u << 20)

static char folder[] = "/tmp/layervm-vm-XXXXXX";

/* A run of one fake, and what it left. */
struct result {
	int r;
	struct error err;
	struct vm_outcome outcome;
	char *text; /* the report */
	double seconds;
};

static void result_free(struct result *result)
{
	free(result->text);
}
#define cleanup_result __attribute__((cleanup(result_free)))

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Links the fake's name to this program. Returns its path. */
static char *make_fake(const char *name)
{
	cleanup_free char *path = xasprintf("%s/" FAKE_PREFIX "%s", folder, name);
	cleanup_free char *self = realpath("/proc/self/exe", NULL);
	assert_non_null(self);
	assert_return_code(symlink(self, path), errno);
	return steal_ptr(&path);
}

/* Which job a fake is made for: its name begins so. */
static enum vm_job_kind kind_of(const char *program)
{
	if (strstr(program, FAKE_PREFIX "unpack-") != NULL)
		return VM_JOB_UNPACK;
	return strstr(program, FAKE_PREFIX "command-") != NULL ? VM_JOB_COMMAND : VM_JOB_SCRIPT;
}

/* A pipe's end without a reader, for commands. */
static int unread_pipe(void)
{
	int ends[2];
	assert_return_code(pipe2(ends, O_CLOEXEC), errno);
	close(ends[0]);
	return ends[1];
}

/* Runs a program as QEMU, reporting to fd. */
static void run_program(const char *program, unsigned timeout, int fd, struct result *result)
{
	static const char *const env[] = {"A=b", NULL};
	cleanup_close int unread = unread_pipe();
	const struct vm_streams streams = {.in = -1, .out = unread, .err = unread};
	const enum vm_job_kind kind = kind_of(program);
	const struct vm_job look = {
		.kind = VM_JOB_COMMAND,
		.command = "look",
		.env = env,
		.cwd = "/",
	};
	const struct vm_job job = {
		.kind = kind,
		.on_failure = strstr(program, FAKE_PREFIX "look-") != NULL ? &look : NULL,
		.command = "hi",
		.streams = kind == VM_JOB_COMMAND ? &streams : NULL,
		.script = "echo hi\n",
		.script_len = 8,
		.env = env,
		.cwd = "/work dir",
	};
	struct error err;
	cleanup_close int disk = file_temporary(&err);
	cleanup_close int overlay = file_temporary(&err);
	assert_true(disk >= 0 && overlay >= 0);
	assert_return_code(ftruncate(disk, DISK_SIZE), errno);
	const struct vm_disk further = {.fd = disk, .overlay_fd = -1};
	const struct vm_options options = {
		.further = &further,
		.further_count = job.kind == VM_JOB_UNPACK ? 1 : 0,
		.qemu = program,
		.kernel = "vmlinux",
		.initrd = "initramfs.cpio",
		.accel = VM_ACCEL_TCG,
		.memory_mib = 256,
		.cpus = 1,
		.timeout = timeout,
		.disk_fd = disk,
		.disk_inodes = 4096,
		.overlay_fd = overlay,
		.disks_stay = strstr(program, FAKE_PREFIX "kept-") != NULL,
		.log_limit = 1000000,
	};
	cleanup_report struct report *report = report_new(REPORT_PLAIN, fd);
	double start = now();
	result->r = vm_run(&options, &job, report, &result->outcome, &result->err);
	result->seconds = now() - start;
}

static void run_fake_for(const char *name, unsigned timeout, struct result *result)
{
	struct error err;
	struct buffer text = {0};
	cleanup_free char *program = make_fake(name);
	cleanup_close int fd = file_temporary(&err);
	assert_true(fd >= 0);
	*result = (struct result){0};
	run_program(program, timeout, fd, result);
	assert_return_code(unlink(program), errno);
	assert_return_code(lseek(fd, 0, SEEK_SET), errno);
	assert_int_equal(file_read_all(fd, 8u << 20, &text, "report", &err), 0);
	result->text = buffer_steal_text(&text);
}

static void test_job_and_output(void **state)
{
	cleanup_result struct result result;
	(void)state;
	run_fake_for("echo", 60, &result);
	assert_int_equal(result.r, 0);
	assert_string_equal(result.text, "65:/work dir\n66:A=b\n67:echo hi\n\nto stderr\n");
	assert_int_equal(result.outcome.accel, VM_ACCEL_TCG);
	assert_int_equal(result.outcome.exit_status, 0);
	assert_true(result.outcome.boot_seconds >= 0 && result.outcome.boot_seconds < 60);
}

static void test_inherited(void **state)
{
	cleanup_result struct result result;
	sigset_t usr1, before;
	(void)state;
	/* What must not reach QEMU: a descriptor without O_CLOEXEC, a mask, a handler, a variable.
	 */
	int stray = open("/proc/self/status", O_RDONLY);
	assert_true(stray >= 0);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &before);
	signal(SIGPIPE, SIG_IGN);
	setenv("SECRET", "x", 1);
	run_fake_for("inherit", 60, &result);
	unsetenv("SECRET");
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(stray);
	if (result.r < 0)
		fail_msg("%s", result.err.message);
	assert_string_equal(result.text, "fds 0 1 2 3 4 5 6\n"
					 "death 9, own group 1, no new privileges 1\n"
					 "core 0, files 256, size 84934656\n"
					 "base 0, overlay 2, SIGUSR1 blocked 0, SIGPIPE ignored 0\n"
					 "LC_ALL=C\nPATH=/usr/bin:/bin\n");
}

/* Whatever QEMU is made to do, it opens no file that it was not given. */
static void test_reach(void **state)
{
	cleanup_result struct result result;
	(void)state;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
		skip_test("landlock");
	cleanup_free char *secret = xasprintf("%s/secret", folder);
	cleanup_close int fd = open(secret, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	run_fake_for("reach", 60, &result);
	assert_return_code(unlink(secret), errno);
	assert_int_equal(result.r, 0);
	assert_string_equal(result.text, "a program: opens\n"
					 "a device: opens\n"
					 "itself: opens\n"
					 "the base for writing: Permission denied\n"
					 "another file: Permission denied\n"
					 "another file for writing: Permission denied\n"
					 "a new file: Permission denied\n"
					 "users: Permission denied\n");
}

struct row {
	const char *name;
	enum error_kind kind; /* where message is not NULL */
	int status;           /* err.status and outcome.exit_status */
	const char *message;
	const char *text; /* a part of the report, NULL: it is empty */
};

static const struct row rows[] = {
	{"noise", 0, 0, NULL, NULL},
	{"status-7", ERROR_SCRIPT, 7, "the script ended with status 7", NULL},
	{"signal-9", ERROR_SCRIPT, 137, "the script was ended by signal 9 (SIGKILL)", NULL},
	{"not-run", ERROR_SCRIPT, 127, "the script cannot be run: no such thing", NULL},
	{"oom", ERROR_MEMORY, 137,
		"the script was ended by signal 9 (SIGKILL) after the guest ran out of its 256 MiB "
		"of memory (its kernel killed 2 processes); raise buildVMMemorySize (--memory)",
		NULL},
	{"oom-well", 0, 0, NULL, "warning: the guest ran out of its 256 MiB of memory"},
	{"full", ERROR_DISK_FULL, 1,
		"the script ended with status 1 after the guest's disk was full; raise diskSize",
		NULL},
	{"full-well", 0, 0, NULL, NULL},
	{"files", ERROR_DISK_FULL, 1,
		"the script ended with status 1 after the guest's disk had no room for more files "
		"than 4096; raise diskSize",
		NULL},
	{"files-too", ERROR_DISK_FULL, 1,
		"the script ended with status 1 after the guest's disk was full; raise diskSize",
		NULL},
	{"disk", ERROR_GUEST, 0, "the disk\\x0ais bad", NULL},
	{"disk-too", ERROR_SCRIPT, 3, "the script ended with status 3",
		"layervm: warning: the guest: a swap file"},
	{"command-7", 0, 7, NULL, NULL},
	{"command-9", 0, 137, NULL,
		"layervm: warning: the guest ran out of its 256 MiB of memory and its kernel "
		"killed 2 processes, but the command went on to its end; raise buildVMMemorySize "
		"(--memory)\nlayervm: warning: the guest's disk was full before the command "
		"ended; raise diskSize (--disk-size)\n"},
	{"command-files", 0, 1, NULL,
		"layervm: warning: the guest's disk had no room for more files than 4096 before "
		"the command ended; raise diskSize (--disk-size)\n"},
	{"command-disk", ERROR_GUEST, 7, "a swap file", NULL},
	{"command-not-run", ERROR_SCRIPT, 127, "the command cannot be run: no such thing", NULL},
	{"command-reset", ERROR_GUEST, 0,
		"the guest was switched off or reset while the command ran", NULL},
	{"command-flood", ERROR_SCRIPT, 141,
		"the command did not end in 5 seconds after the reader of its output was gone",
		NULL},
	{"failure", ERROR_GUEST, 0, "cannot mount the image's disk", NULL},
	{"look-failure", ERROR_SCRIPT, 3, "the script ended with status 3",
		"layervm: warning: the command after it: no folder /proc\n"},
	{"look-killed", ERROR_SCRIPT, 3, "the script ended with status 3",
		"layervm: warning: the command after it: QEMU was ended by signal 9 (SIGKILL)\n"},
	{"look-reset", ERROR_SCRIPT, 3, "the script ended with status 3",
		"layervm: warning: the command after it: the guest was switched off or reset while "
		"the command ran\n"},
	{"look-again", ERROR_SCRIPT, 3, "the script ended with status 3",
		"layervm: warning: the command after it: the guest sent a frame of type 1 "},
	{"refuse", ERROR_QEMU, 0, "QEMU ended with status 1: fake: bad option|fake: giving up",
		NULL},
	{"killed", ERROR_QEMU, 0, "QEMU was ended by signal 9 (SIGKILL)", NULL},
	{"last-status", ERROR_QEMU, 0, "QEMU ended with status 3: fake: overlay-file: I/O error",
		NULL},
	{"silent", ERROR_GUEST, 0, "the guest was switched off or reset while it booted", NULL},
	{"asleep", ERROR_GUEST, 0, "the guest was switched off or reset while it booted", NULL},
	{"reset", ERROR_GUEST, 0, "the guest was switched off or reset while the script ran", NULL},
	{"unprepared", ERROR_GUEST, 0, "the guest did not come up: cannot make the job's process",
		NULL},
	{"cut", ERROR_GUEST, 0, "the guest was switched off or reset while the script ran", NULL},
	{"init", ERROR_GUEST, 0, "the guest did not come up: cannot mount /proc",
		"the guest's console ends with:\n  layervm init: cannot mount /proc\n"},
	{"panic", ERROR_GUEST, 0,
		"the guest's kernel gave up while the script ran: Kernel panic - not syncing: "
		"sysrq",
		"the guest's console ends with:\n"
		"  [ 1.0] Kernel panic - not syncing: sysrq\n  more\n"},
	{"gave-up", ERROR_GUEST, 0,
		"the guest's init gave up while the script ran: cannot read from the host",
		"the guest's console ends with:\n  layervm init: cannot read from the host\n"},
	{"halted", ERROR_GUEST, 0, "the guest was halted while the script ran", NULL},
	{"halted-not", 0, 0, NULL, NULL},
	{"panic-stays", ERROR_GUEST, 0,
		"the guest's kernel gave up while the script ran: Kernel panic - not syncing: "
		"sysrq",
		"the guest's console ends with:\n"
		"  ---[ end Kernel panic - not syncing: sysrq ]---\n"},
	{"deadlock", ERROR_MEMORY, 0,
		"the guest ran out of its 256 MiB of memory while it booted (Kernel panic - not "
		"syncing: System is deadlocked on memory); raise buildVMMemorySize (--memory)",
		"deadlocked"},
	{"version", ERROR_GUEST, 0,
		"the guest's init speaks version 9 of the protocol, version 6 is expected: layervm "
		"and its guest files do not belong together",
		NULL},
	{"unpack-done", 0, 0, NULL, NULL},
	{"unpack-layer", ERROR_INPUT, 1, "layer 1 of 2: x\\x0a: bad", NULL},
	{"unpack-guest", ERROR_GUEST, 2, "the layers cannot be unpacked: no locale", NULL},
	{"unpack-full", ERROR_DISK_FULL, 2,
		"the guest's disk was full before all layers were unpacked; raise diskSize: layer "
		"1",
		NULL},
	{"unpack-files", ERROR_DISK_FULL, 2,
		"the guest's disk had no room for more files than 4096 before all layers were "
		"unpacked; raise diskSize: layer 1",
		NULL},
	{"unpack-oom", ERROR_MEMORY, 137,
		"the unpacking of the layers was ended by signal 9 (SIGKILL) after the guest ran "
		"out of its 256 MiB of memory; raise buildVMMemorySize (--memory)",
		NULL},
	{"unpack-signal", ERROR_GUEST, 139,
		"the unpacking of the layers was ended by signal 11 (SIGSEGV)", NULL},
	{"unpack-abort", ERROR_GUEST, 125,
		"the unpacking of the layers ended with status 125: broken", NULL},
	{"unpack-not-run", ERROR_GUEST, 127, "the layers cannot be unpacked: no such thing", NULL},
	{"unpack-further", ERROR_INPUT, 1, "fds 0 1 2 3 4 5 6 7, further 0", NULL},
	{"unpack-reset", ERROR_GUEST, 0,
		"the guest was switched off or reset while it unpacked the layers", NULL},
	{"flood", ERROR_LIMIT, 0,
		"the script wrote more than the 1000000 bytes of output that are accepted; have it "
		"write to a file or /dev/null",
		"xxx"},
};

static void check_row(const struct row *row)
{
	cleanup_result struct result result;
	run_fake_for(row->name, 60, &result);
	if (row->message == NULL && result.r < 0)
		fail_msg("%s: %s", row->name, result.err.message);
	if (row->message != NULL) {
		if (result.r >= 0)
			fail_msg("%s: no error", row->name);
		if (strcmp(result.err.message, row->message) != 0 || result.err.kind != row->kind)
			fail_msg("%s: %s: %s", row->name, error_kind_name(result.err.kind),
				result.err.message);
		assert_int_equal(result.err.status, row->kind == ERROR_SCRIPT ? row->status : 0);
	}
	assert_int_equal(result.outcome.exit_status, row->status);
	if (row->text == NULL ? *result.text != '\0' : strstr(result.text, row->text) == NULL)
		fail_msg("%s: %s", row->name, result.text);
	assert_true(result.seconds < 30);
}

static void test_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_row(&rows[i]);
}

static void test_missing_programs(void **state)
{
	static const struct {
		const char *program, *message;
		int code;
	} programs[] = {
		{"qemu-that-nobody-has",
			"qemu-that-nobody-has not found; install the package qemu-system-x86",
			ENOENT},
		{"/no/such", "/no/such not found; install the package qemu-system-x86", ENOENT},
		{"/etc", "/etc not found; install the package qemu-system-x86", ENOENT},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(programs); i++) {
		struct result result = {0};
		run_program(programs[i].program, 60, -1, &result);
		assert_int_equal(result.r, -programs[i].code);
		assert_int_equal(result.err.kind, ERROR_QEMU);
		assert_string_equal(result.err.message, programs[i].message);
	}
	/* A file that may be executed and is no program. */
	cleanup_free char *path = xasprintf("%s/broken", folder);
	cleanup_free char *message = xasprintf("%s: cannot be started: Exec format error", path);
	struct result result = {0};
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700));
	run_program(path, 60, -1, &result);
	assert_return_code(unlink(path), errno);
	assert_int_equal(result.err.kind, ERROR_QEMU);
	assert_string_equal(result.err.message, message);
}

static void test_timeouts(void **state)
{
	static const struct {
		const char *name, *message;
		double least, most;
	} table[] = {
		{"hang-boot",
			"the guest's start was not done after the 1 seconds of the time limit "
			"(--timeout)",
			1, 4},
		{"obey",
			"the script was not done after the 1 seconds of the time limit (--timeout)",
			1, 4},
		{"hang",
			"the script was not done after the 1 seconds of the time limit (--timeout)",
			6, 12},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		cleanup_result struct result result;
		run_fake_for(table[i].name, 1, &result);
		assert_int_equal(result.r, -ETIMEDOUT);
		assert_int_equal(result.err.kind, ERROR_TIMEOUT);
		assert_string_equal(result.err.message, table[i].message);
		if (result.seconds < table[i].least || result.seconds > table[i].most)
			fail_msg("%s: %.2f seconds", table[i].name, result.seconds);
	}
}

/* Disks that are used later are unmounted after a job that was ended; others are let go of. */
static void test_disks_that_stay(void **state)
{
	static const char not_whole[] = "layervm: warning: the disks that are kept were not "
					"unmounted: what was written last is not on them\n";
	static const struct {
		const char *name, *text;
		double most;
	} table[] = {
		{"obey", "", 4},
		{"unmount", "", 4},
		{"kept-unmount", "", 4},
		{"kept-obey", not_whole, 25},
		{"kept-stubborn", "", 15},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		cleanup_result struct result result;
		run_fake_for(table[i].name, 1, &result);
		assert_int_equal(result.err.kind, ERROR_TIMEOUT);
		const char *line = strchr(result.text, '\n'); /* the fake's number comes first */
		assert_non_null(line);
		assert_string_equal(line + 1, table[i].text);
		if (result.seconds > table[i].most)
			fail_msg("%s: %.2f seconds", table[i].name, result.seconds);
	}
}

/* A report that nobody reads holds up neither the time limit nor the end. */
static void test_unread_report(void **state)
{
	int ends[2];
	struct result result = {0};
	(void)state;
	assert_return_code(pipe2(ends, O_CLOEXEC), errno);
	cleanup_close int out = ends[1];
	cleanup_close int in = ends[0];
	(void)in;
	cleanup_free char *program = make_fake("flood");
	run_program(program, 1, out, &result);
	assert_return_code(unlink(program), errno);
	assert_int_equal(result.r, -ETIMEDOUT);
	assert_int_equal(result.err.kind, ERROR_TIMEOUT);
	if (result.seconds < 1 || result.seconds > 10)
		fail_msg("%.2f seconds", result.seconds);
}

/* Waits until a process is gone that is no child of ours. */
static void wait_gone(int pidfd)
{
	struct pollfd fds = {.fd = pidfd, .events = POLLIN};
	assert_int_equal(poll(&fds, 1, 10000), 1);
}

/* QEMU is one process, and so nothing of it can be left. */
static void test_no_other_process(void **state)
{
	cleanup_result struct result result;
	(void)state;
	run_fake_for("child", 60, &result);
	assert_int_equal(result.r, 0);
	assert_string_equal(result.text, "Operation not permitted\n");
}

/* A process of its own that does what layervm does, since signals are for a whole process. */
struct other {
	pid_t pid;
	int text; /* its report */
	int qemu; /* pidfd of its QEMU */
};

static void start_other(const char *program, struct other *other)
{
	int text[2];
	assert_return_code(pipe2(text, O_CLOEXEC), errno);
	other->pid = fork();
	assert_true(other->pid >= 0);
	if (other->pid == 0) {
		struct result result = {0};
		if (interrupt_setup(&result.err) < 0)
			_exit(1);
		run_program(program, 0, text[1], &result);
		_exit(result.r < 0 ? error_exit_status(&result.err) : 0);
	}
	close(text[1]);
	other->text = text[0];
	/* The fake says its number once the script runs. */
	char line[64];
	ssize_t n = read(other->text, line, sizeof(line) - 1);
	assert_true(n > 0);
	line[n] = '\0';
	other->qemu = pidfd_open((pid_t)strtol(line, NULL, 10), 0);
	assert_true(other->qemu >= 0);
}

static int end_other(struct other *other)
{
	int status;
	wait_gone(other->qemu);
	assert_int_equal(waitpid(other->pid, &status, 0), other->pid);
	close(other->qemu);
	close(other->text);
	return status;
}

static void test_interrupts(void **state)
{
	static const struct {
		const char *name;
		int number, status;
		bool impatient; /* more signals follow, until it has ended */
		double most;
	} table[] = {
		{"obey", SIGINT, 130, false, 4},
		{"obey", SIGTERM, 143, false, 4},
		{"hang", SIGINT, 130, true, 4},
		{"hang", SIGHUP, 129, false, 15},
		{"kept-unmount", SIGTERM, 143, false, 4},
		{"kept-obey", SIGINT, 130, true, 4},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct other other;
		cleanup_free char *program = make_fake(table[i].name);
		start_other(program, &other);
		struct pollfd fds = {.fd = other.qemu, .events = POLLIN};
		double start = now();
		do
			kill(other.pid, table[i].number);
		while (table[i].impatient && poll(&fds, 1, 50) == 0);
		int status = end_other(&other);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), table[i].status);
		if (now() - start > table[i].most)
			fail_msg("%s, signal %d: %.2f seconds", table[i].name, table[i].number,
				now() - start);
		assert_return_code(unlink(program), errno);
	}
}

static void test_dies_with_layervm(void **state)
{
	struct other other;
	cleanup_free char *program = make_fake("hang");
	(void)state;
	start_other(program, &other);
	kill(other.pid, SIGKILL);
	int status = end_other(&other);
	assert_true(WIFSIGNALED(status));
	assert_return_code(unlink(program), errno);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash != NULL ? slash + 1 : argv[0];
	if (argc > 1 && strncmp(name, FAKE_PREFIX, strlen(FAKE_PREFIX)) == 0)
		fake_qemu(name + strlen(FAKE_PREFIX), argv);
	signal(SIGPIPE, SIG_IGN); /* as layervm has it; test_inherited: QEMU has it not */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_job_and_output),
		cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_missing_programs),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_disks_that_stay),
		cmocka_unit_test(test_unread_report),
		cmocka_unit_test(test_no_other_process),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_dies_with_layervm),
	};
	return cmocka_run_group_tests_name("vm_run", tests, make_folder, remove_folder);
}
