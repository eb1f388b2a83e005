/*
 * The conversation with the guest's init about jobs with files of their own, one job after the
 * other, and what surrounds them: what is sent, what is taken, and what is not believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest_frames.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/request.h"
#include "vm/session.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct terminal {
	int unused;
};

static struct terminal some_terminal;
static const char *const env[] = {"A=b", NULL};
static const struct vm_options no_options = {0};
static const struct vm_streams pipes = {.in = 0, .out = 1, .err = 2};
static const struct vm_streams no_input = {.in = -1, .out = 1, .err = 2};
static const struct vm_streams on_terminal = {
	.in = -1, .out = -1, .err = -1, .terminal = &some_terminal};
static const struct vm_job command = {
	.kind = VM_JOB_COMMAND,
	.command = "ls -l",
	.env = env,
	.cwd = "/w",
	.user = "u:g",
	.streams = &pipes,
};
static const struct vm_job quiet_command = {
	.kind = VM_JOB_COMMAND,
	.command = "ls",
	.env = env,
	.cwd = "/",
	.streams = &no_input,
};
static const struct vm_job shell = {
	.kind = VM_JOB_SHELL,
	.env = env,
	.cwd = "/",
	.streams = &on_terminal,
};
static const struct vm_job script = {
	.script = "x",
	.script_len = 1,
	.env = env,
	.cwd = "/",
	.on_failure = &shell,
};

/* Gives the session frames, all of which are fine. */
static void hear(struct session *session, const struct buffer *frames)
{
	struct error err;
	if (session_receive(session, frames->data, frames->len, &err) < 0)
		fail_msg("%s", err.message);
}

static void hear_frame(struct session *session, unsigned type, const void *payload, size_t len)
{
	cleanup_buffer struct buffer frame = {0};
	add_frame(&frame, type, payload, len);
	hear(session, &frame);
}

static void hear_exit(struct session *session, uint32_t how, uint32_t code)
{
	cleanup_buffer struct buffer frame = {0};
	add_exit(&frame, how, code, "");
	hear(session, &frame);
}

/* The guest comes up. */
static void hear_awake(struct session *session)
{
	hear_frame(session, FRAME_HELLO, NULL, 0);
	hear_frame(session, FRAME_AWAKE, NULL, 0);
}

/* Up to the job's start; what was sent so far is of no interest. */
static void begin(struct session *session, const struct vm_job *job)
{
	*session = (struct session){
		.options = &no_options, .job = job, .files = {.rows = 30, .columns = 100}};
	hear_awake(session);
	hear_frame(session, FRAME_STARTED, NULL, 0);
	session_sent(session, session->to.len);
}

/* Compares what the session has for the guest, but for what no two runs share, and takes it. */
static void check_sent(struct session *session, const struct buffer *expected)
{
	struct buffer *to = &session->to;
	blank_awakening(to);
	assert_int_equal(to->len, expected->len);
	if (to->len != 0)
		assert_memory_equal(to->data, expected->data, expected->len);
	session_sent(session, to->len);
}

static void test_set_up_frames(void **state)
{
	static const struct vm_network network = {
		.fd = -1,
		.address = {10, 0, 2, 15},
		.gateway = {10, 0, 2, 2},
		.prefix = 24,
		.mtu = 1500,
	};
	static const struct vm_disk disks[2] = {{.fd = 3}, {.fd = 4}};
	static const struct vm_mount mounts[] = {
		{.kind = VM_MOUNT_DISK, .disk = 1, .read_only = true, .path = "/src"},
		{.kind = VM_MOUNT_TMPFS, .size_mib = 64, .path = "/t"},
	};
	static const struct vm_secret secrets[] = {{"id", "s\0cret", 6}, {"none", "", 0}};
	static const struct vm_options options = {
		.network = &network,
		.further = disks,
		.further_count = COUNT(disks),
		.mounts = mounts,
		.mount_count = COUNT(mounts),
		.secrets = secrets,
		.secret_count = COUNT(secrets),
	};
	struct error err;
	cleanup_buffer struct buffer expected = {0};
	cleanup_session struct session session = {.options = &options, .job = &quiet_command};
	(void)state;
	assert_int_equal(request_check_setup(&options, &err), 0);
	add_awakening(&expected);
	add_frame(&expected, FRAME_NETWORK,
		"\x0a\0\2\x0f"
		"\x18\0\0\0"
		"\x0a\0\2\2"
		"\xdc\5\0\0",
		16);
	add_frame(&expected, FRAME_MOUNT, "\1\0\0\0\2\0\0\0\1\0\0\0/src", 16);
	add_frame(&expected, FRAME_MOUNT, "\2\0\0\0\x40\0\0\0\0\0\0\0/t", 14);
	add_frame(&expected, FRAME_SECRET, "\2\0\0\0ids\0cret", 12);
	add_frame(&expected, FRAME_SECRET, "\4\0\0\0none", 8);
	add_text(&expected, FRAME_CWD, "/");
	add_text(&expected, FRAME_ENV, "A=b");
	add_text(&expected, FRAME_COMMAND, "ls");
	add_frame(&expected, FRAME_START, NULL, 0);
	hear_awake(&session);
	check_sent(&session, &expected);
}

static void test_kinds_of_jobs(void **state)
{
	cleanup_buffer struct buffer first = {0}, second = {0};
	cleanup_session struct session a = {.options = &no_options, .job = &command};
	cleanup_session struct session b = {
		.options = &no_options, .job = &shell, .files = {.rows = 30, .columns = 100}};
	(void)state;
	add_awakening(&first);
	add_text(&first, FRAME_CWD, "/w");
	add_text(&first, FRAME_ENV, "A=b");
	add_text(&first, FRAME_USER, "u:g");
	add_text(&first, FRAME_COMMAND, "ls -l");
	add_frame(&first, FRAME_INPUT, NULL, 0);
	add_frame(&first, FRAME_START, NULL, 0);
	hear_awake(&a);
	check_sent(&a, &first);
	add_awakening(&second);
	add_text(&second, FRAME_CWD, "/");
	add_text(&second, FRAME_ENV, "A=b");
	add_frame(&second, FRAME_SHELL, NULL, 0);
	add_u32(&second, FRAME_TERMINAL, 30, 100);
	add_frame(&second, FRAME_START, NULL, 0);
	hear_awake(&b);
	assert_false(session_has_terminal(&b));
	check_sent(&b, &second);
	hear_frame(&b, FRAME_STARTED, NULL, 0);
	assert_true(session_has_terminal(&b));
}

static void test_one_output(void **state)
{
	cleanup_buffer struct buffer expected = {0};
	cleanup_session struct session session = {
		.options = &no_options, .job = &script, .files = {30, 100, .one_output = true}};
	(void)state;
	add_awakening(&expected);
	for (unsigned i = 0; i < 2; i++) {
		add_text(&expected, FRAME_CWD, "/");
		add_text(&expected, FRAME_ENV, "A=b");
		if (i == 0)
			add_text(&expected, FRAME_SCRIPT, "x");
		else
			add_frame(&expected, FRAME_SHELL, NULL, 0);
		/* A terminal is one anyway. */
		if (i == 0)
			add_frame(&expected, FRAME_ONE_OUTPUT, NULL, 0);
		else
			add_u32(&expected, FRAME_TERMINAL, 30, 100);
		add_frame(&expected, FRAME_START, NULL, 0);
	}
	hear_awake(&session);
	hear_frame(&session, FRAME_STARTED, NULL, 0);
	hear_exit(&session, EXIT_STATUS, 1);
	check_sent(&session, &expected);
}

static void test_input(void **state)
{
	cleanup_buffer struct buffer expected = {0};
	cleanup_session struct session session;
	(void)state;
	begin(&session, &command);
	assert_int_equal(session_room(&session), STDIN_WINDOW);
	session_input(&session, "abc", 3);
	assert_int_equal(session_room(&session), STDIN_WINDOW - 3);
	hear_frame(&session, FRAME_TAKEN, "\2\0\0\0", 4);
	assert_int_equal(session_room(&session), STDIN_WINDOW - 1);
	session_input(&session, NULL, 0);
	assert_int_equal(session_room(&session), 0);
	/* The rest is taken after the end was sent. */
	hear_frame(&session, FRAME_TAKEN, "\1\0\0\0", 4);
	assert_int_equal(session_room(&session), 0);
	hear_exit(&session, EXIT_STATUS, 0);
	add_text(&expected, FRAME_STDIN, "abc");
	add_frame(&expected, FRAME_STDIN, NULL, 0);
	add_frame(&expected, FRAME_FINISH, NULL, 0);
	check_sent(&session, &expected);
	assert_int_equal(session.stage, SESSION_ENDING);
}

static void test_output(void **state)
{
	cleanup_session struct session apart, together;
	(void)state;
	begin(&apart, &command);
	begin(&together, &command);
	together.files.one_output = true;
	for (unsigned i = 0; i < 2; i++) {
		struct session *session = i == 0 ? &apart : &together;
		hear_frame(session, FRAME_STDOUT, "out", 3);
		hear_frame(session, FRAME_STDERR, "err", 3);
		hear_frame(session, FRAME_STDOUT, "OUT", 3);
		assert_int_equal(session->logged, 0);
	}
	assert_int_equal(apart.out.len, 6);
	assert_memory_equal(apart.out.data, "outOUT", 6);
	assert_int_equal(apart.err.len, 3);
	assert_memory_equal(apart.err.data, "err", 3);
	assert_int_equal(together.out.len, 9);
	assert_memory_equal(together.out.data, "outerrOUT", 9);
	assert_int_equal(together.err.len, 0);
}

static void test_sizes(void **state)
{
	cleanup_buffer struct buffer expected = {0};
	cleanup_session struct session session;
	(void)state;
	begin(&session, &shell);
	session_resize(&session, 50, 200);
	session_terminate(&session);
	hear_exit(&session, EXIT_STATUS, 1);
	/* There is no terminal any more. */
	session_resize(&session, 51, 200);
	session_terminate(&session);
	add_u32(&expected, FRAME_WINSIZE, 50, 200);
	add_frame(&expected, FRAME_TERMINATE, NULL, 0);
	add_frame(&expected, FRAME_FINISH, NULL, 0);
	check_sent(&session, &expected);
}

static void test_job_after_failure(void **state)
{
	cleanup_buffer struct buffer expected = {0};
	cleanup_session struct session session;
	(void)state;
	begin(&session, &script);
	assert_int_equal(session_room(&session), 0);
	hear_exit(&session, EXIT_STATUS, 3);
	assert_int_equal(session.stage, SESSION_STARTING);
	assert_ptr_equal(session.current, &shell);
	hear_frame(&session, FRAME_STARTED, NULL, 0);
	hear_frame(&session, FRAME_STDOUT, "$ ", 2);
	session_input(&session, "exit\r", 5);
	hear_frame(&session, FRAME_TAKEN, "\5\0\0\0", 4);
	hear_exit(&session, EXIT_STATUS, 9);
	assert_int_equal(session.stage, SESSION_ENDING);
	/* The run's own job is what counts. */
	assert_int_equal(session.exit.code, 3);
	add_text(&expected, FRAME_CWD, "/");
	add_text(&expected, FRAME_ENV, "A=b");
	add_frame(&expected, FRAME_SHELL, NULL, 0);
	add_u32(&expected, FRAME_TERMINAL, 30, 100);
	add_frame(&expected, FRAME_START, NULL, 0);
	add_text(&expected, FRAME_STDIN, "exit\r");
	add_frame(&expected, FRAME_FINISH, NULL, 0);
	check_sent(&session, &expected);
}

/* A script that ends well, and one that was told to end, have no job after them. */
static void test_no_job_after(void **state)
{
	cleanup_session struct session well, terminated;
	(void)state;
	begin(&well, &script);
	hear_exit(&well, EXIT_STATUS, 0);
	assert_int_equal(well.stage, SESSION_ENDING);
	begin(&terminated, &script);
	session_terminate(&terminated);
	hear_exit(&terminated, EXIT_SIGNAL, 15);
	assert_int_equal(terminated.stage, SESSION_ENDING);
	assert_ptr_equal(terminated.current, &script);
}

/* What a guest says that breaks the protocol, after STARTED and 3 bytes of input. */
static void test_refused(void **state)
{
	static const struct {
		const struct vm_job *job;
		unsigned type;
		const char *payload;
		size_t len;
		const char *part;
	} rows[] = {
		{&command, FRAME_TAKEN, "\4\0\0\0", 4, "took 4 bytes of input, where 3 are"},
		{&command, FRAME_TAKEN, "\xff\xff\xff\xff", 4, "took 4294967295 bytes"},
		{&command, FRAME_TAKEN, "\0\0\0\0", 4, "took 0 bytes"},
		{&command, FRAME_TAKEN, "\1\0\0", 3, "took 0 bytes"},
		{&command, FRAME_TAKEN, "\1\0\0\0\0", 5, "took 0 bytes"},
		{&command, FRAME_STDOUT, "", 0, "an empty piece of output"},
		{&command, FRAME_BYE, "", 0, "while the job runs"},
		{&command, FRAME_HELLO, "", 0, "while the job runs"},
		{&command, FRAME_AWAKE, "", 0, "while the job runs"},
		{&command, FRAME_STARTED, "", 0, "while the job runs"},
		{&command, FRAME_STDIN, "x", 1, "type 77"},
		{&quiet_command, FRAME_TAKEN, "\1\0\0\0", 4, "type 8 and length 4 while the job"},
		{&script, FRAME_TAKEN, "\1\0\0\0", 4, "type 8 and length 4 while the job"},
		{&shell, FRAME_STDERR, "x", 1, "type 4 and length 1 while the job runs"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		cleanup_buffer struct buffer frame = {0};
		cleanup_session struct session session;
		begin(&session, rows[i].job);
		if (session_room(&session) != 0)
			session_input(&session, "abc", 3);
		add_frame(&frame, rows[i].type, rows[i].payload, rows[i].len);
		if (session_receive(&session, frame.data, frame.len, &err) == 0)
			fail_msg("%zu: believed", i);
		assert_int_equal(err.kind, ERROR_GUEST);
		if (strstr(err.message, rows[i].part) == NULL)
			fail_msg("%zu: %s", i, err.message);
	}
}

/* After the last EXIT nothing of a job is believed, and a third job is none. */
static void test_refused_after_exit(void **state)
{
	static const unsigned types[] = {FRAME_STDOUT, FRAME_STDERR, FRAME_TAKEN, FRAME_EXIT,
		FRAME_STARTED, FRAME_HELLO, FRAME_AWAKE};
	(void)state;
	for (size_t i = 0; i < COUNT(types); i++) {
		struct error err = {0};
		cleanup_buffer struct buffer frame = {0};
		cleanup_session struct session session;
		begin(&session, &script);
		hear_exit(&session, EXIT_STATUS, 3);
		hear_frame(&session, FRAME_STARTED, NULL, 0);
		hear_exit(&session, EXIT_STATUS, 3);
		if (types[i] == FRAME_EXIT)
			add_exit(&frame, EXIT_STATUS, 3, "");
		else
			add_frame(&frame, types[i], "\1\0\0\0", 4);
		assert_true(session_receive(&session, frame.data, frame.len, &err) < 0);
		assert_non_null(strstr(err.message, "after the job's end"));
	}
}

/* What a job before has under way is nothing that the next one can take. */
static void test_window_of_each_job(void **state)
{
	static const struct vm_job second = {
		.kind = VM_JOB_COMMAND,
		.command = "c",
		.env = env,
		.cwd = "/",
		.streams = &pipes,
	};
	static const struct vm_job first = {
		.kind = VM_JOB_COMMAND,
		.command = "c",
		.env = env,
		.cwd = "/",
		.streams = &pipes,
		.on_failure = &second,
	};
	struct error err = {0};
	cleanup_buffer struct buffer frame = {0};
	cleanup_session struct session session;
	(void)state;
	begin(&session, &first);
	session_input(&session, "abc", 3);
	session_input(&session, NULL, 0);
	hear_exit(&session, EXIT_STATUS, 1);
	assert_int_equal(session_room(&session), 0);
	hear_frame(&session, FRAME_STARTED, NULL, 0);
	assert_int_equal(session_room(&session), STDIN_WINDOW);
	add_u32(&frame, FRAME_TAKEN, 1, 0);
	assert_true(session_receive(&session, frame.data, frame.len, &err) < 0);
}

static void test_jobs_refused(void **state)
{
	struct vm_job shell_without = shell, two_streams = script, third = script;
	struct vm_job no_user = command, long_command = command, bad_after = script;
	struct vm_job after = shell;
	cleanup_free char *big = xmalloc(131073);
	(void)state;
	memset(big, 'x', 131072);
	big[131072] = '\0';
	shell_without.streams = &pipes;
	two_streams.streams = &pipes;
	third.on_failure = &script;
	no_user.user = "";
	long_command.command = big;
	after.cwd = "x";
	bad_after.on_failure = &after;
	const struct {
		const struct vm_job *job;
		enum error_kind kind;
		const char *part; /* NULL: it is fine */
	} rows[] = {
		{&command, 0, NULL},
		{&quiet_command, 0, NULL},
		{&shell, 0, NULL},
		{&script, 0, NULL},
		{&shell_without, ERROR_INTERNAL, "a shell in the guest without a terminal"},
		{&two_streams, ERROR_INTERNAL, "with streams, or a third one"},
		{&third, ERROR_INTERNAL, "with streams, or a third one"},
		{&no_user, ERROR_SPEC, "user \"\": NAME|UID[:GROUP|GID]"},
		{&long_command, ERROR_SPEC, "the command has 131072 bytes"},
		{&bad_after, ERROR_SPEC, "working directory \"x\""},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		int r = request_check_job(rows[i].job, &err);
		if (rows[i].part == NULL ? r != 0 : r == 0)
			fail_msg("%zu: %d %s", i, r, err.message);
		if (rows[i].part == NULL)
			continue;
		assert_int_equal(err.kind, rows[i].kind);
		if (strstr(err.message, rows[i].part) == NULL)
			fail_msg("%zu: %s", i, err.message);
	}
}

/* No copy of what was sent is left in the session's memory. */
static void test_nothing_of_secrets_is_kept(void **state)
{
	static const struct vm_secret secret = {"id", "geheim", 6};
	static const struct vm_options options = {.secrets = &secret, .secret_count = 1};
	cleanup_session struct session session = {.options = &options, .job = &command};
	(void)state;
	hear_awake(&session);
	assert_non_null(memmem(session.to.data, session.to.len, "geheim", 6));
	session_sent(&session, 1);
	session_sent(&session, session.to.len);
	assert_int_equal(session.to.len, 0);
	assert_null(session.to.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_up_frames),
		cmocka_unit_test(test_kinds_of_jobs),
		cmocka_unit_test(test_one_output),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_job_after_failure),
		cmocka_unit_test(test_no_job_after),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_after_exit),
		cmocka_unit_test(test_window_of_each_job),
		cmocka_unit_test(test_jobs_refused),
		cmocka_unit_test(test_nothing_of_secrets_is_kept),
	};
	return cmocka_run_group_tests_name("vm_session_jobs", tests, NULL, NULL);
}
