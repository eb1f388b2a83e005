/* A job's standard files: passed on as far as each side takes it, and never waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest_frames.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/streams.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A session with a command that runs, and our ends of its files. */
struct rig {
	int in, out, err; /* our ends */
	struct vm_streams given;
	struct vm_job job;
	struct session session;
	struct streams streams;
};

static const char *const no_env[] = {NULL};
static const struct vm_options no_options = {0};

static void receive(struct rig *rig, enum frame_type type, const void *payload, size_t len)
{
	struct error err;
	cleanup_buffer struct buffer frame = {0};
	add_frame(&frame, type, payload, len);
	if (session_receive(&rig->session, frame.data, frame.len, &err) < 0)
		fail_msg("%s", err.message);
}

static void receive_taken(struct rig *rig, uint32_t count)
{
	uint8_t payload[4];
	protocol_put_u32(payload, count);
	receive(rig, FRAME_TAKEN, payload, sizeof(payload));
}

static void rig_bind(struct rig *rig, const struct vm_streams *given)
{
	struct error err;
	rig->given = *given;
	rig->job = (struct vm_job){
		.kind = VM_JOB_COMMAND,
		.command = "c",
		.env = no_env,
		.cwd = "/",
		.streams = &rig->given,
	};
	rig->session = (struct session){.options = &no_options, .job = &rig->job};
	assert_int_equal(streams_open(&rig->streams, &rig->session, &err), 0);
	receive(rig, FRAME_HELLO, NULL, 0);
	receive(rig, FRAME_AWAKE, NULL, 0);
	receive(rig, FRAME_STARTED, NULL, 0);
	session_sent(&rig->session, rig->session.to.len);
}

/* With pipes, of which the session's ends block, as those of a shell do. */
static void rig_open(struct rig *rig)
{
	int in[2], out[2], err[2];
	assert_return_code(pipe2(in, O_CLOEXEC), errno);
	assert_return_code(pipe2(out, O_CLOEXEC), errno);
	assert_return_code(pipe2(err, O_CLOEXEC), errno);
	*rig = (struct rig){.in = in[1], .out = out[0], .err = err[0]};
	const struct vm_streams given = {.in = in[0], .out = out[1], .err = err[1]};
	rig_bind(rig, &given);
}

static void rig_close(struct rig *rig)
{
	const int fds[] = {rig->in, rig->out, rig->err, rig->given.in, rig->given.out};
	streams_close(&rig->streams);
	session_free(&rig->session);
	for (size_t i = 0; i < COUNT(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (rig->given.err != rig->given.out)
		close(rig->given.err);
}
#define cleanup_rig __attribute__((cleanup(rig_close)))

/* One round of the poll loop that does not wait. Returns the event. */
static int turn(struct rig *rig)
{
	struct error err;
	struct pollfd fds[STREAMS_FDS];
	assert_int_equal(streams_follow(&rig->streams, &err), 0);
	streams_watch(&rig->streams, fds);
	if (poll(fds, STREAMS_FDS, 0) <= 0)
		return STREAMS_NOTHING;
	int event = streams_act(&rig->streams, fds, 0, &err);
	if (event < 0)
		fail_msg("%s", err.message);
	return event;
}

/* What the session has for the guest: STDIN's bytes go to input. Returns whether the end came. */
static bool take_sent(struct rig *rig, struct buffer *input)
{
	struct buffer *to = &rig->session.to;
	bool end = false;
	for (size_t at = 0; at < to->len;) {
		struct frame_header header = frame_header_get(to->data + at);
		assert_true(frame_header_valid(&header));
		assert_int_equal(header.type, FRAME_STDIN);
		assert_false(end);
		buffer_add(input, to->data + at + FRAME_HEADER_SIZE, header.length);
		end = header.length == 0;
		at += FRAME_HEADER_SIZE + header.length;
	}
	session_sent(&rig->session, to->len);
	return end;
}

static void test_output(void **state)
{
	char text[16] = "";
	cleanup_rig struct rig rig;
	(void)state;
	rig_open(&rig);
	receive(&rig, FRAME_STDOUT, "out", 3);
	receive(&rig, FRAME_STDERR, "err", 3);
	assert_true(streams_pending(&rig.streams));
	turn(&rig);
	assert_false(streams_pending(&rig.streams));
	assert_int_equal(read(rig.out, text, sizeof(text)), 3);
	assert_string_equal(text, "out");
	assert_int_equal(read(rig.err, text, sizeof(text)), 3);
	assert_string_equal(text, "err");
}

/* A reader that does not read makes nobody wait, and the other output comes all the same. */
static void test_blocked_output(void **state)
{
	cleanup_free uint8_t *much = xcalloc(1, FRAME_MAX);
	cleanup_free uint8_t *piece = xmalloc(65536);
	cleanup_rig struct rig rig;
	char text[8] = "";
	size_t total = 0;
	(void)state;
	memset(much, 'x', FRAME_MAX);
	rig_open(&rig);
	receive(&rig, FRAME_STDOUT, much, FRAME_MAX);
	receive(&rig, FRAME_STDERR, "err", 3);
	for (unsigned i = 0; i < 100; i++)
		turn(&rig);
	assert_true(streams_full(&rig.streams));
	assert_int_equal(read(rig.err, text, sizeof(text)), 3);
	while (total < FRAME_MAX) {
		/* A little at a time: room for a page is none for all that waits. */
		ssize_t n = read(rig.out, piece, 5000);
		assert_true(n > 0);
		total += (size_t)n;
		turn(&rig);
	}
	assert_int_equal(total, FRAME_MAX);
	assert_false(streams_pending(&rig.streams));
	/* The flag was not set for everybody who shares the pipe. */
	assert_int_equal(fcntl(rig.given.out, F_GETFL) & O_NONBLOCK, 0);
}

static void test_reader_gone(void **state)
{
	cleanup_rig struct rig rig;
	(void)state;
	rig_open(&rig);
	close(rig.out);
	rig.out = -1;
	receive(&rig, FRAME_STDOUT, "x", 1);
	assert_int_equal(turn(&rig), STREAMS_READER_GONE);
	/* What comes later is dropped, and told once only. */
	receive(&rig, FRAME_STDOUT, "y", 1);
	assert_int_equal(turn(&rig), STREAMS_NOTHING);
	assert_false(streams_pending(&rig.streams));
}

/* Both outputs in one file keep their order. */
static void test_one_file(void **state)
{
	struct error err;
	cleanup_buffer struct buffer text = {0};
	int file = file_temporary(&err);
	cleanup_rig struct rig rig = {.in = -1, .out = -1, .err = -1};
	const struct vm_streams given = {.in = -1, .out = file, .err = file};
	(void)state;
	rig_bind(&rig, &given);
	for (unsigned i = 0; i < 3; i++) {
		receive(&rig, FRAME_STDOUT, "a", 1);
		receive(&rig, FRAME_STDERR, "b", 1);
	}
	turn(&rig);
	assert_return_code(lseek(file, 0, SEEK_SET), errno);
	assert_int_equal(file_read_all(file, 100, &text, "text", &err), 0);
	assert_int_equal(text.len, 6);
	assert_memory_equal(text.data, "ababab", 6);
}

static void test_socket(void **state)
{
	int pair[2];
	cleanup_free uint8_t *much = xcalloc(1, FRAME_MAX);
	cleanup_rig struct rig rig = {.in = -1, .err = -1};
	(void)state;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), errno);
	rig.out = pair[0];
	const struct vm_streams given = {.in = -1, .out = pair[1], .err = pair[1]};
	rig_bind(&rig, &given);
	receive(&rig, FRAME_STDOUT, much, FRAME_MAX);
	for (unsigned i = 0; i < 100; i++)
		turn(&rig);
	assert_true(streams_pending(&rig.streams));
	close(rig.out);
	rig.out = -1;
	assert_int_equal(turn(&rig), STREAMS_READER_GONE);
}

/* Never more than the window, and on from where it stood. */
static void test_input(void **state)
{
	const size_t much = STDIN_WINDOW + 100000;
	cleanup_free uint8_t *bytes = xmalloc(much);
	cleanup_buffer struct buffer input = {0};
	cleanup_rig struct rig rig;
	size_t fed = 0;
	bool end = false;
	(void)state;
	for (size_t i = 0; i < much; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	rig_open(&rig);
	assert_return_code(fcntl(rig.in, F_SETFL, O_NONBLOCK), errno);
	for (unsigned i = 0; i < 50; i++) {
		ssize_t n = write(rig.in, bytes + fed, much - fed);
		fed += n > 0 ? (size_t)n : 0;
		turn(&rig);
		end = take_sent(&rig, &input);
		assert_false(end);
	}
	assert_int_equal(input.len, STDIN_WINDOW);
	assert_int_equal(session_room(&rig.session), 0);
	receive_taken(&rig, STDIN_WINDOW);
	for (unsigned i = 0; i < 50 && !end; i++) {
		ssize_t n = fed < much ? write(rig.in, bytes + fed, much - fed) : 0;
		fed += n > 0 ? (size_t)n : 0;
		if (fed == much && rig.in >= 0) {
			close(rig.in);
			rig.in = -1;
		}
		turn(&rig);
		end = take_sent(&rig, &input);
	}
	assert_true(end);
	assert_int_equal(input.len, much);
	assert_memory_equal(input.data, bytes, much);
	assert_int_equal(turn(&rig), STREAMS_NOTHING);
	assert_int_equal(rig.session.to.len, 0);
}

static void test_input_that_cannot_be_read(void **state)
{
	struct error err = {0};
	struct pollfd fds[STREAMS_FDS];
	int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	cleanup_rig struct rig rig = {.in = -1, .out = -1, .err = -1};
	const struct vm_streams given = {
		.in = open("/", O_RDONLY | O_CLOEXEC), .out = out, .err = out};
	(void)state;
	rig_bind(&rig, &given);
	streams_watch(&rig.streams, fds);
	assert_int_equal(poll(fds, STREAMS_FDS, 1000), 1);
	assert_int_equal(streams_act(&rig.streams, fds, 0, &err), -EISDIR);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_string_equal(err.message, "standard input cannot be read: Is a directory");
}

static void test_output_that_cannot_be_written(void **state)
{
	struct error err = {0};
	struct pollfd fds[STREAMS_FDS];
	int out = open("/dev/full", O_WRONLY | O_CLOEXEC);
	cleanup_rig struct rig rig = {.in = -1, .out = -1, .err = -1};
	const struct vm_streams given = {.in = -1, .out = out, .err = out};
	(void)state;
	rig_bind(&rig, &given);
	receive(&rig, FRAME_STDOUT, "x", 1);
	streams_watch(&rig.streams, fds);
	assert_int_equal(poll(fds, STREAMS_FDS, 1000), 1);
	assert_int_equal(streams_act(&rig.streams, fds, 0, &err), -ENOSPC);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	/* Nobody waits for what cannot be written. */
	assert_false(streams_pending(&rig.streams));
	receive(&rig, FRAME_STDOUT, "y", 1);
	streams_watch(&rig.streams, fds);
	assert_int_equal(streams_act(&rig.streams, fds, 0, &err), STREAMS_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_blocked_output),
		cmocka_unit_test(test_reader_gone),
		cmocka_unit_test(test_one_file),
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_input_that_cannot_be_read),
		cmocka_unit_test(test_output_that_cannot_be_written),
	};
	signal(SIGPIPE, SIG_IGN); /* as layervm has it */
	alarm(60);                /* who waits for ever has failed */
	return cmocka_run_group_tests_name("vm_streams", tests, NULL, NULL);
}
