/*
 * Jobs in a real guest beside scripts: commands with standard files of their own, users, and what
 * runs after a script that failed. test_guest.c says how the accelerator is chosen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest_runs.h"
#include "skips.h"
#include "support/fileio.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MUCH (5u << 20)

/* A job's files: what it reads, and what it wrote. */
struct files {
	struct vm_streams streams;
	struct buffer out, err;
};

static void files_free(struct files *files)
{
	close(files->streams.in);
	close(files->streams.out);
	close(files->streams.err);
	buffer_free(&files->out);
	buffer_free(&files->err);
}
#define cleanup_files __attribute__((cleanup(files_free)))

static void files_make(struct files *files, const void *input, size_t len)
{
	struct error err;
	*files = (struct files){.streams = {.in = file_temporary(&err),
					.out = file_temporary(&err),
					.err = file_temporary(&err)}};
	assert_int_equal(file_write(files->streams.in, input, len, "input", &err), 0);
	assert_return_code(lseek(files->streams.in, 0, SEEK_SET), errno);
}

static void read_all(int fd, struct buffer *to)
{
	struct error err;
	assert_return_code(lseek(fd, 0, SEEK_SET), errno);
	assert_int_equal(file_read_all(fd, 64u << 20, to, "output", &err), 0);
	buffer_add(to, "", 1);
}

static void files_read(struct files *files)
{
	read_all(files->streams.out, &files->out);
	read_all(files->streams.err, &files->err);
}

static const char *const plain_env[] = {"GREETING=hello", NULL};

static struct vm_job command_job(const char *command, const struct vm_streams *streams)
{
	return (struct vm_job){
		.kind = VM_JOB_COMMAND,
		.command = command,
		.env = plain_env,
		.cwd = "/tmp",
		.streams = streams,
	};
}

static void must_end_well(const struct guest_result *result)
{
	if (result->r < 0)
		fail_msg("%s", result->err.message);
}

static void test_much_input(void **state)
{
	cleanup_free uint8_t *input = xmalloc(MUCH);
	cleanup_files struct files files;
	cleanup_guest_result struct guest_result result;
	(void)state;
	for (size_t done = 0; done < MUCH; done += 256)
		assert_int_equal(getrandom(input + done, 256, 0), 256);
	files_make(&files, input, MUCH);
	const struct vm_job job =
		command_job("cat; echo \"$GREETING\" >&2; pwd >&2; exit 5", &files.streams);
	guest_run_job(ROOT_SHELL, 120, &job, &result);
	must_end_well(&result);
	files_read(&files);
	assert_int_equal(result.outcome.exit_status, 5);
	assert_int_equal(files.out.len, MUCH + 1);
	assert_memory_equal(files.out.data, input, MUCH);
	assert_string_equal((char *)files.err.data, "hello\n/tmp\n");
	assert_string_equal((char *)result.text.data, "");
}

/* Input that is not read: a program that ends, and one that closes it and goes on. */
static void test_unread_input(void **state)
{
	static const char *const commands[] = {"head -c 3", "head -c 3; exec < /dev/null; sleep 1"};
	cleanup_free char *input = xcalloc(1, MUCH);
	(void)state;
	memset(input, 'x', MUCH);
	for (size_t i = 0; i < COUNT(commands); i++) {
		cleanup_files struct files files;
		cleanup_guest_result struct guest_result result;
		files_make(&files, input, MUCH);
		const struct vm_job job = command_job(commands[i], &files.streams);
		guest_run_job(ROOT_SHELL, 120, &job, &result);
		must_end_well(&result);
		files_read(&files);
		assert_int_equal(result.outcome.exit_status, 0);
		assert_string_equal((char *)files.out.data, "xxx");
	}
}

/* TERMINATE is heard while the job's input stands full. */
static void test_time_limit_with_input(void **state)
{
	cleanup_files struct files files;
	cleanup_guest_result struct guest_result result;
	struct timespec start, end;
	(void)state;
	files_make(&files, "", 0);
	cleanup_close int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	struct vm_streams streams = files.streams;
	streams.in = zero;
	const struct vm_job job =
		command_job("trap 'echo told; exit 4' TERM; echo on; sleep 1000 & wait", &streams);
	clock_gettime(CLOCK_MONOTONIC, &start);
	guest_run_job(ROOT_SHELL, 10, &job, &result);
	clock_gettime(CLOCK_MONOTONIC, &end);
	files_read(&files);
	assert_int_equal(result.err.kind, ERROR_TIMEOUT);
	assert_string_equal(result.err.message,
		"the command was not done after the 10 seconds of the time limit (--timeout)");
	assert_string_equal((char *)files.out.data, "on\ntold\n");
	assert_true(end.tv_sec - start.tv_sec < 15);
}

/* As in `command | head -n 1`. */
static void test_reader_goes(void **state)
{
	int ends[2], status;
	cleanup_files struct files files;
	cleanup_guest_result struct guest_result result;
	(void)state;
	files_make(&files, "", 0);
	assert_return_code(pipe2(ends, O_CLOEXEC), errno);
	pid_t reader = fork();
	if (reader == 0) {
		char byte;
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(ends[0]);
	struct vm_streams streams = files.streams;
	streams.out = ends[1];
	const struct vm_job job = command_job("yes", &streams);
	guest_run_job(ROOT_SHELL, 120, &job, &result);
	close(ends[1]);
	assert_int_equal(waitpid(reader, &status, 0), reader);
	assert_int_equal(status, 0);
	must_end_well(&result);
	assert_int_equal(result.outcome.exit_status, 141);
}

static void test_not_run(void **state)
{
	cleanup_files struct files files;
	cleanup_guest_result struct guest_result result;
	(void)state;
	files_make(&files, "", 0);
	struct vm_job job = command_job("true", &files.streams);
	job.cwd = "/nowhere";
	guest_run_job(ROOT_SHELL, 120, &job, &result);
	assert_int_equal(result.err.kind, ERROR_SCRIPT);
	assert_int_equal(result.err.status, 126);
	assert_string_equal(result.err.message,
		"the command cannot be run: cannot enter the working directory /nowhere: No such "
		"file or directory");
}

static void test_users(void **state)
{
	static const struct {
		const char *user, *out, *message;
	} rows[] = {
		{"app", "100 101 101 200 201 /home\n100 0\n", NULL},
		{"app:staff", "100 202 202 /home\n100 0\n", NULL},
		{"300", "300 0 0 /\n300 0\n", NULL},
		{"homeless:7", "103 7 7 /\n103 0\n", NULL},
		{"nobody", NULL,
			"the command cannot be run: user \"nobody\" is not in the image's "
			"/etc/passwd"},
		{"app:nobody", NULL,
			"the command cannot be run: group \"nobody\" is not in the image's "
			"/etc/group"},
		{"4294967296", NULL,
			"the command cannot be run: user 4294967296 is beyond 2147483647"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		cleanup_files struct files files;
		cleanup_guest_result struct guest_result result;
		files_make(&files, "", 0);
		struct vm_job job =
			command_job("echo $(id -u) $(id -g) $(id -G) $HOME; "
				    "echo $(id -u) $(cat /dev/stdin | wc -c) > /dev/stdout",
				&files.streams);
		job.user = rows[i].user;
		guest_run_job(ROOT_SHELL, 120, &job, &result);
		files_read(&files);
		if (rows[i].message == NULL) {
			must_end_well(&result);
			assert_string_equal((char *)files.out.data, rows[i].out);
			continue;
		}
		assert_int_equal(result.err.kind, ERROR_SCRIPT);
		assert_int_equal(result.err.status, 126);
		assert_string_equal(result.err.message, rows[i].message);
	}
}

/* What a script left is there for the job after it, whose own end counts for nothing. */
static void test_after_failure(void **state)
{
	static const char script[] = "echo made > /made; cd /; sleep 1000 & exit 3";
	cleanup_files struct files files;
	cleanup_guest_result struct guest_result result, well;
	(void)state;
	files_make(&files, "typed\n", 6);
	const struct vm_job after =
		command_job("cat /made -; grep -c sleep /proc/*/comm | grep -c ':1$'; tail -c 6 "
			    "/dev/.layervm/script; exit 9",
			&files.streams);
	struct vm_job job = {
		.script = script,
		.script_len = sizeof(script) - 1,
		.env = plain_env,
		.cwd = "/",
		.on_failure = &after,
	};
	guest_run_job(ROOT_SHELL, 120, &job, &result);
	files_read(&files);
	assert_int_equal(result.err.kind, ERROR_SCRIPT);
	assert_int_equal(result.err.status, 3);
	assert_string_equal(result.err.message, "the script ended with status 3");
	assert_int_equal(result.outcome.exit_status, 3);
	assert_string_equal((char *)files.out.data, "made\ntyped\n0\nexit 3");
	assert_string_equal((char *)result.text.data,
		"layervm: warning: the script ended with status 3; a shell in the same guest "
		"follows; `exit` leaves it, and so does Ctrl-] three times\n");
	/* A script that ends well has none after it. */
	job.script = "true";
	job.script_len = 4;
	guest_run_job(ROOT_SHELL, 120, &job, &well);
	must_end_well(&well);
	assert_string_equal((char *)well.text.data, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_much_input),
		cmocka_unit_test(test_unread_input),
		cmocka_unit_test(test_time_limit_with_input),
		cmocka_unit_test(test_reader_goes),
		cmocka_unit_test(test_not_run),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_after_failure),
	};
	signal(SIGPIPE, SIG_IGN); /* as layervm has it */
	if (!disks_possible())
		return SKIPPED_STATUS;
	return cmocka_run_group_tests_name("guest_jobs", tests, disks_set_up, disks_tear_down);
}
