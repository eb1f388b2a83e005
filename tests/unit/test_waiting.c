/*
 * Whoever waits for the other end of a pipe is ended by a signal: the call is made in a child,
 * which gets the signal when it sleeps in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "support/outlet.h"
#include "support/shown.h"

/* More than any pipe or socket takes here. */
#define MUCH (4u << 20)

#define PATIENCE_SECONDS 20

static int send_much(int fd, struct error *err)
{
	cleanup_free char *data = xcalloc(1, MUCH);
	struct outlet outlet;
	outlet_open(&outlet, fd);
	int r = outlet_send(&outlet, data, MUCH, "the pipe", err);
	outlet_close(&outlet);
	return r;
}

static int commit_much(int fd, struct error *err)
{
	cleanup_output struct output *output = NULL;
	if (dup2(fd, STDOUT_FILENO) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "no standard output");
	int r = output_open("-", &output, err);
	if (r == 0 && ftruncate(output_fd(output), MUCH) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "no output");
	return r < 0 ? r : output_commit(output, err);
}

static int read_all(int fd, struct error *err)
{
	cleanup_buffer struct buffer bytes = {0};
	return file_read_all(fd, MUCH, &bytes, "the pipe", err);
}

/* A FIFO under a name of its own, opened as a user's input or output. */
static int open_fifo(bool reads, struct error *err)
{
	char path[] = "/tmp/layervm-waiting-XXXXXX";
	if (mkdtemp(path) == NULL)
		return error_set_errno(err, ERROR_INTERNAL, "no folder");
	cleanup_free char *fifo = xasprintf("%s/fifo", path);
	struct output *output = NULL;
	int r = mkfifo(fifo, 0600);
	if (r == 0)
		r = reads ? file_open(fifo, ERROR_INPUT, err) : output_open(fifo, &output, err);
	unlink(fifo);
	rmdir(path);
	return r;
}

static int open_unwritten(int fd, struct error *err)
{
	(void)fd;
	return open_fifo(true, err);
}

static int open_unread(int fd, struct error *err)
{
	(void)fd;
	return open_fifo(false, err);
}

static int show_much(int fd, struct error *err)
{
	if (dup2(fd, STDOUT_FILENO) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "no standard output");
	cleanup_shown struct shown *shown = shown_open();
	for (size_t i = 0; i < MUCH && !ferror(shown_stream(shown)); i++)
		fputc('x', shown_stream(shown));
	return shown_finish(shown, 0, err);
}

static int make_pipe(int ends[2])
{
	return pipe2(ends, O_CLOEXEC);
}

static int make_sockets(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
}

static const struct {
	const char *name;
	int (*act)(int fd, struct error *err);
	int end; /* of the two, the one that the act gets */
	int (*make)(int ends[2]);
} table[] = {
	{"a pipe that is full", send_much, 1, make_pipe},
	{"a socket that is full", send_much, 1, make_sockets},
	{"standard output that is full", commit_much, 1, make_pipe},
	{"a pipe with nothing in it", read_all, 0, make_pipe},
	{"a socket with nothing in it", read_all, 0, make_sockets},
	{"what is shown on a pipe that is full", show_much, 1, make_pipe},
	{"a FIFO without a writer", open_unwritten, 0, make_pipe},
	{"a FIFO without a reader", open_unread, 0, make_pipe},
};

/* The child's end: the signal's number where that is what the act tells. */
static void __attribute__((noreturn)) act_in_child(size_t row, const int ends[2], int ready)
{
	struct error err = {0};
	char byte = 0;
	signal(SIGPIPE, SIG_IGN);
	if (interrupt_setup(&err) < 0 || write(ready, &byte, 1) != 1)
		_exit(100);
	int r = table[row].act(ends[table[row].end], &err);
	_exit(r == -EINTR && err.kind == ERROR_INTERRUPTED ? err.status : 101);
}

static bool is_asleep(pid_t pid)
{
	char path[64], text[256] = "";
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *state = n < 0 ? NULL : strrchr(text, ')');
	return state != NULL && strncmp(state, ") S", 3) == 0;
}

/* Whether the child's ends, asked for again and again, before the patience does. */
static bool within_patience(bool (*holds)(pid_t pid), pid_t pid)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	for (int i = 0; i < PATIENCE_SECONDS * 1000; i++) {
		if (holds(pid))
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {0};
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == pid;
}

static int run(size_t row, int number)
{
	int ends[2], ready[2], status;
	char byte;
	assert_int_equal(table[row].make(ends), 0);
	assert_int_equal(make_pipe(ready), 0);
	pid_t child = fork();
	if (child == 0)
		act_in_child(row, ends, ready[1]);
	assert_true(child > 0);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	bool asleep = within_patience(is_asleep, child);
	kill(child, number);
	bool ended = within_patience(has_ended, child);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	for (size_t i = 0; i < 2; i++) {
		close(ends[i]);
		close(ready[i]);
	}
	if (!asleep || !ended)
		fail_msg("%s: %s", table[row].name, asleep ? "not ended" : "not asleep");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_signal_ends_it(void **state)
{
	static const int numbers[] = {SIGINT, SIGTERM};
	(void)state;
	for (size_t row = 0; row < sizeof(table) / sizeof(table[0]); row++) {
		for (size_t i = 0; i < 2; i++) {
			int found = run(row, numbers[i]);
			if (found != numbers[i])
				fail_msg("%s: status %d", table[row].name, found);
		}
	}
}

/* A reader that goes is an error, and one that takes its time gets all. */
static void without_a_signal(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = {0};
	struct error err;
	int ends[2], status;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(make_pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		close(ends[0]);
		_exit(send_much(ends[1], &err) < 0);
	}
	close(ends[1]);
	assert_int_equal(file_read_all(ends[0], MUCH, &bytes, "the pipe", &err), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(bytes.len, MUCH);
	close(ends[0]);

	assert_int_equal(make_pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(send_much(ends[1], &err), -EPIPE);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_string_equal(err.message, "the pipe: cannot write: Broken pipe");
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_ends_it),
		cmocka_unit_test(without_a_signal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
