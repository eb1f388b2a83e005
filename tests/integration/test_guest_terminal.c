/*
 * A shell in a real guest on a terminal that this program plays: what is typed comes to the guest,
 * what is shown comes back, and the terminal is given back on every way out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "guest_runs.h"
#include "skips.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "vm/terminal.h"

#define PATIENCE_MS 60000
#define PROMPT "ready> "

/* A process that does what layervm does, on a terminal of ours. */
struct user {
	pid_t pid;
	int pidfd;
	int screen;   /* the terminal's other side */
	int keyboard; /* the terminal itself, to ask it for its modes */
	struct termios before;
	struct buffer shown; /* since the last look */
};

static const char *const shell_env[] = {"PS1=" PROMPT, "TERM=xterm", NULL};

static void __attribute__((noreturn)) be_layervm(int keyboard, const char *script)
{
	struct error err;
	struct guest_result result;
	struct terminal *terminal;
	setsid();
	ioctl(keyboard, TIOCSCTTY, 0);
	signal(SIGPIPE, SIG_IGN);
	if (interrupt_setup(&err) < 0 || terminal_open(-1, &terminal, &err) < 0)
		_exit(99);
	const struct vm_streams streams = {.in = -1, .out = -1, .err = -1, .terminal = terminal};
	const struct vm_job shell = {
		.kind = VM_JOB_SHELL,
		.env = shell_env,
		.cwd = "/tmp",
		.streams = &streams,
	};
	struct vm_job job = shell;
	if (script != NULL)
		job = (struct vm_job){
			.script = script,
			.script_len = strlen(script),
			.env = shell_env,
			.cwd = "/",
			.on_failure = &shell,
		};
	guest_run_job(ROOT_SHELL, 0, &job, &result);
	terminal_free(terminal);
	_exit(result.r < 0 ? error_exit_status(&result.err) : result.outcome.exit_status);
}

/* Starts a shell, or a script with a shell after it. */
static void user_start(struct user *user, const char *script)
{
	const struct winsize size = {.ws_row = 30, .ws_col = 100};
	*user = (struct user){0};
	assert_return_code(openpty(&user->screen, &user->keyboard, NULL, NULL, &size), errno);
	assert_return_code(tcgetattr(user->keyboard, &user->before), errno);
	user->pid = fork();
	assert_return_code(user->pid, errno);
	if (user->pid == 0) {
		close(user->screen);
		be_layervm(user->keyboard, script);
	}
	user->pidfd = pidfd_open(user->pid, 0);
	assert_return_code(user->pidfd, errno);
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Reads the screen until a text is on it, and forgets all up to there. */
static void see(struct user *user, const char *text)
{
	int64_t end = now_ms() + PATIENCE_MS;
	for (;;) {
		char piece[4096];
		buffer_add(&user->shown, "", 1);
		user->shown.len--;
		const char *at = user->shown.len != 0 ? memmem(user->shown.data, user->shown.len,
								text, strlen(text))
						      : NULL;
		if (at != NULL) {
			buffer_consume(&user->shown,
				(size_t)(at - (const char *)user->shown.data) + strlen(text));
			return;
		}
		struct pollfd fds[] = {{.fd = user->screen, .events = POLLIN},
			{.fd = user->pidfd, .events = POLLIN}};
		if (now_ms() > end || poll(fds, 2, PATIENCE_MS) < 1 || fds[0].revents == 0)
			fail_msg("no \"%s\" on the screen but:\n%s", text, user->shown.data);
		ssize_t n = read(user->screen, piece, sizeof(piece));
		if (n <= 0)
			fail_msg("the terminal ended before \"%s\":\n%s", text, user->shown.data);
		buffer_add(&user->shown, piece, (size_t)n);
	}
}

static void type(const struct user *user, const char *keys)
{
	assert_int_equal(write(user->screen, keys, strlen(keys)), strlen(keys));
}

/* Types a line at the prompt, and sees what it comes to. */
static void ask(struct user *user, const char *line, const char *answer)
{
	type(user, line);
	type(user, "\r");
	see(user, answer);
	see(user, PROMPT);
}

/* The terminal is as it was. The guard of a process that was killed takes a moment. */
static void check_given_back(const struct user *user)
{
	struct termios now = {0};
	int64_t end = now_ms() + 10000;
	do {
		assert_return_code(tcgetattr(user->keyboard, &now), errno);
		if (memcmp(&now, &user->before, sizeof(now)) == 0)
			return;
		const struct timespec moment = {.tv_nsec = 10000000};
		nanosleep(&moment, NULL);
	} while (now_ms() < end);
	fail_msg("the terminal's modes are others: local flags %x, before %x", now.c_lflag,
		user->before.c_lflag);
}

/* Waits for the end while the screen is read. Returns the status of waitpid(2). */
static int user_end(struct user *user)
{
	int status;
	int64_t end = now_ms() + PATIENCE_MS;
	pid_t pid;
	while ((pid = waitpid(user->pid, &status, WNOHANG)) == 0 && now_ms() < end) {
		char piece[4096];
		struct pollfd fds = {.fd = user->screen, .events = POLLIN};
		ssize_t n = poll(&fds, 1, 20) == 1 ? read(user->screen, piece, sizeof(piece)) : 0;
		if (n > 0)
			buffer_add(&user->shown, piece, (size_t)n);
	}
	if (pid != user->pid) {
		kill(user->pid, SIGKILL);
		fail_msg("layervm did not end");
	}
	check_given_back(user);
	close(user->pidfd);
	close(user->screen);
	close(user->keyboard);
	buffer_free(&user->shown);
	return status;
}

static void resize(const struct user *user, unsigned short rows, unsigned short columns)
{
	const struct winsize size = {.ws_row = rows, .ws_col = columns};
	assert_return_code(ioctl(user->screen, TIOCSWINSZ, &size), errno);
}

static void test_shell(void **state)
{
	struct user user;
	(void)state;
	user_start(&user, NULL);
	see(&user, PROMPT);
	ask(&user, "tty; pwd; id -u; echo $TERM", "/dev/pts/0\r\n/tmp\r\n0\r\nxterm\r\n");
	ask(&user, "stty size", "30 100\r\n");
	resize(&user, 40, 120);
	ask(&user, "while [ \"$(stty size)\" != \"40 120\" ]; do :; done; echo big''ger",
		"\r\nbigger\r\n");
	/* Ctrl-C ends what runs, and not the shell. What runs has the terminal before it speaks. */
	type(&user, "sh -c 'echo g''o; exec sleep 1000'\r");
	see(&user, "\r\ngo\r\n");
	type(&user, "\x03");
	see(&user, PROMPT);
	/* Ctrl-Z stops it; it can be had back. */
	type(&user, "sh -c 'echo g''o; exec cat'\r");
	see(&user, "\r\ngo\r\n");
	type(&user, "one\r");
	see(&user, "one\r\none\r\n");
	type(&user, "\x1a");
	see(&user, "Stopped");
	see(&user, PROMPT);
	type(&user, "fg\r");
	see(&user, "exec cat");
	type(&user, "two\r");
	see(&user, "two\r\ntwo\r\n");
	type(&user, "\x03");
	see(&user, PROMPT);
	/* A program that wants each key has it; `~` within a line is none of the escape's. */
	type(&user,
		"stty raw -echo; echo ra''w; dd bs=1 count=3 2> /dev/null | od -c; stty sane\r");
	see(&user, "raw\n");
	type(&user, "a~\x1d");
	see(&user, "a   ~ 035");
	see(&user, PROMPT);
	/* All that was shown came before the end. */
	type(&user, "seq 20000; exit 7\r");
	see(&user, "\n19999\r\n20000\r\n");
	int status = user_end(&user);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

/* A shell that is left, or that is ended from outside, each with the terminal in use. */
static void test_ways_out(void **state)
{
	static const struct {
		const char *name, *keys;
		int number; /* a signal, or 0 */
		int status; /* of layervm; 0: it is ended by the signal */
	} rows[] = {
		{"Ctrl-] three times", "\x1d\x1d\x1d", 0, 130},
		{"~. on a new line", "\r~.", 0, 130},
		{"terminated", "", SIGTERM, 143},
		{"killed", "", SIGKILL, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct user user;
		user_start(&user, NULL);
		see(&user, PROMPT);
		type(&user, "stty raw -echo; echo ra''w; cat\r");
		see(&user, "raw\n");
		type(&user, rows[i].keys);
		if (rows[i].number != 0)
			kill(user.pid, rows[i].number);
		int status = user_end(&user);
		print_message("%s: status %x\n", rows[i].name, status);
		if (rows[i].status == 0) {
			assert_true(WIFSIGNALED(status));
			continue;
		}
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), rows[i].status);
	}
}

/* It was stopped from outside, and whoever has the terminal meanwhile changed its modes. */
static void test_stop(void **state)
{
	struct user user;
	int status;
	(void)state;
	user_start(&user, NULL);
	see(&user, PROMPT);
	kill(user.pid, SIGSTOP);
	assert_int_equal(waitpid(user.pid, &status, WUNTRACED), user.pid);
	assert_true(WIFSTOPPED(status));
	assert_return_code(tcsetattr(user.keyboard, TCSANOW, &user.before), errno);
	kill(user.pid, SIGCONT);
	ask(&user, "echo on''e", "\r\none\r\n");
	type(&user, "exit\r");
	status = user_end(&user);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_after_failure(void **state)
{
	struct user user;
	(void)state;
	user_start(&user, "echo made > /tmp/made; exit 3");
	see(&user, PROMPT);
	ask(&user, "cat made; tail -c 7 /dev/.layervm/script", "\r\nmade\r\n exit 3");
	type(&user, "exit 9\r");
	int status = user_end(&user);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shell),
		cmocka_unit_test(test_ways_out),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_after_failure),
	};
	if (!disks_possible())
		return SKIPPED_STATUS;
	return cmocka_run_group_tests_name("guest_terminal", tests, disks_set_up, disks_tear_down);
}
