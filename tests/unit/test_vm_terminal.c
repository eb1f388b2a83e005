/* The user's terminal: the keys that leave it, and that it is given back on every way out. */
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "support/memory.h"
#include "vm/escape.h"
#include "vm/terminal.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define K "\x1d"

/* What is typed when, and what comes of it. */
struct typing {
	const char *name;
	struct {
		int64_t at;
		const char *keys;
	} pieces[6];
	const char *passed;
	bool left;
};

static const struct typing typings[] = {
	{"plain", {{0, "ls\r"}, {5, "exit\r"}}, "ls\rexit\r", false},
	{"a tilde that is one", {{0, "ls ~\r"}}, "ls ~\r", false},
	{"at the very start", {{0, "~."}}, "", true},
	{"in two pieces", {{0, "~"}, {9000, "."}}, "", true},
	{"after CR", {{0, "ls\r~."}}, "ls\r", true},
	{"after LF", {{0, "ls\n~."}}, "ls\n", true},
	{"in a line", {{0, "x~."}}, "x~.", false},
	{"after an empty line", {{0, "\r\r~."}}, "\r\r", true},
	{"doubled", {{0, "~~."}}, "~.", false},
	{"doubled, then in the line", {{0, "~~~."}}, "~~.", false},
	{"doubled, then a new line", {{0, "~~\r~."}}, "~\r", true},
	{"another key", {{0, "~x"}, {0, "~."}}, "~x~.", false},
	{"a new line after it", {{0, "~\r~."}}, "~\r", true},
	{"held back", {{0, "~"}}, "", false},
	{"the rest is dropped", {{0, "~.rm -rf x\r"}}, "", true},
	{"three times", {{0, K}, {400, K}, {1000, K}}, K K, true},
	{"in one piece", {{0, "a" K K K "b"}}, "a" K K, true},
	{"too slow", {{0, K}, {400, K}, {1001, K}}, K K K, false},
	{"the last three count", {{0, K}, {900, K}, {1100, K}, {1500, K}}, K K K, true},
	{"something between", {{0, K K}, {1, "x"}, {2, K}, {3, K}}, K K "x" K K, false},
	{"a tilde between", {{0, K K "~" K}}, K K "~" K, false},
	{"after a tilde", {{0, "~" K K K}}, "~" K K, true},
};

static void test_escapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(typings); i++) {
		const struct typing *row = &typings[i];
		struct escape escape = {0};
		cleanup_buffer struct buffer passed = {0};
		bool left = false;
		for (size_t j = 0; j < COUNT(row->pieces) && row->pieces[j].keys != NULL; j++) {
			const char *keys = row->pieces[j].keys;
			assert_false(left);
			left = escape_filter(&escape, (const uint8_t *)keys, strlen(keys),
				row->pieces[j].at, &passed);
		}
		buffer_add(&passed, "", 1);
		if (left != row->left || strcmp((char *)passed.data, row->passed) != 0)
			fail_msg("%s: passed on \"%s\", left %d", row->name, (char *)passed.data,
				left);
	}
}

/* Any keys, cut anywhere, at one time: nothing is lost or added where the session goes on. */
static void test_escapes_in_pieces(void **state)
{
	static const char alphabet[] = "~.\r\nx" K;
	const char *given = getenv("LAYERVM_TEST_SEED");
	unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
	(void)state;
	print_message("LAYERVM_TEST_SEED=%u\n", seed);
	srandom(seed);
	for (unsigned round = 0; round < 5000; round++) {
		uint8_t keys[12];
		struct escape whole = {0}, pieces = {0};
		cleanup_buffer struct buffer a = {0}, b = {0};
		bool left = false;
		for (size_t i = 0; i < sizeof(keys); i++)
			keys[i] = (uint8_t)alphabet[(size_t)random() % (sizeof(alphabet) - 1)];
		bool expected = escape_filter(&whole, keys, sizeof(keys), 7, &a);
		for (size_t i = 0; i < sizeof(keys) && !left;) {
			size_t n = 1 + (size_t)random() % 4;
			if (n > sizeof(keys) - i)
				n = sizeof(keys) - i;
			size_t before = b.len;
			left = escape_filter(&pieces, keys + i, n, 7, &b);
			assert_true(b.len - before <= n + 1);
			i += n;
		}
		assert_int_equal(left, expected);
		assert_int_equal(a.len, b.len);
		if (a.len != 0)
			assert_memory_equal(a.data, b.data, a.len);
		assert_true(a.len <= sizeof(keys));
	}
}

/*
 * A terminal of ours, a process that is the shell on it, and one that uses it as layervm does, in
 * a group of its own, so that signals stop it.
 */
struct stage {
	int screen, terminal;
	struct termios before;
	pid_t shell, user;
	int news; /* 'r' when the user is raw, 's' when it was stopped */
};

static void __attribute__((noreturn)) be_user(int fd, int news)
{
	struct error err;
	struct terminal *terminal;
	bool resized;
	if (terminal_open(fd, &terminal, &err) < 0 || terminal_raw(terminal, &err) < 0)
		_exit(2);
	struct pollfd fds = {.fd = terminal_signal_fd(terminal), .events = POLLIN};
	for (;;) {
		if (write(news, "r", 1) != 1)
			_exit(3);
		if (poll(&fds, 1, -1) < 0 || terminal_take_signals(terminal, &resized, &err) < 0)
			_exit(4);
	}
}

static void __attribute__((noreturn)) be_shell(int fd, int news)
{
	int status;
	setsid();
	ioctl(fd, TIOCSCTTY, 0);
	signal(SIGTTOU, SIG_IGN);
	pid_t user = fork();
	if (user == 0) {
		setpgid(0, 0);
		tcsetpgrp(fd, getpid());
		signal(SIGTTOU, SIG_DFL);
		be_user(fd, news);
	}
	while (waitpid(user, &status, WUNTRACED) == user && WIFSTOPPED(status))
		if (write(news, "s", 1) != 1)
			_exit(1);
	_exit(0);
}

static void wait_news(const struct stage *stage, char expected)
{
	char byte = 0;
	struct pollfd fds = {.fd = stage->news, .events = POLLIN};
	assert_int_equal(poll(&fds, 1, 10000), 1);
	assert_int_equal(read(stage->news, &byte, 1), 1);
	assert_int_equal(byte, expected);
}

static void stage_open(struct stage *stage)
{
	const struct winsize size = {.ws_row = 33, .ws_col = 99};
	int ends[2];
	*stage = (struct stage){0};
	assert_return_code(openpty(&stage->screen, &stage->terminal, NULL, NULL, &size), errno);
	assert_return_code(tcgetattr(stage->terminal, &stage->before), errno);
	assert_return_code(pipe2(ends, O_CLOEXEC), errno);
	stage->news = ends[0];
	stage->shell = fork();
	assert_return_code(stage->shell, errno);
	if (stage->shell == 0) {
		close(stage->screen);
		be_shell(stage->terminal, ends[1]);
	}
	close(ends[1]);
	wait_news(stage, 'r');
	stage->user = tcgetpgrp(stage->screen);
	assert_true(stage->user > 1);
}

static bool is_raw(const struct stage *stage)
{
	struct termios now = {0};
	assert_return_code(tcgetattr(stage->terminal, &now), errno);
	bool raw = (now.c_lflag & (ICANON | ECHO | ISIG)) == 0;
	if (!raw)
		assert_memory_equal(&now, &stage->before, sizeof(now));
	return raw;
}

/* What a process that is not ours to wait for does takes a moment. */
static void wait_modes(const struct stage *stage, bool raw)
{
	const struct timespec moment = {.tv_nsec = 5000000};
	for (unsigned i = 0; i < 2000 && is_raw(stage) != raw; i++)
		nanosleep(&moment, NULL);
	assert_int_equal(is_raw(stage), raw);
}

static void stage_close(struct stage *stage)
{
	int status;
	kill(stage->user, SIGKILL);
	assert_int_equal(waitpid(stage->shell, &status, 0), stage->shell);
	assert_int_equal(status, 0);
	close(stage->screen);
	close(stage->terminal);
	close(stage->news);
}

static void test_killed(void **state)
{
	struct stage stage;
	char text[256] = "";
	size_t len = 0;
	(void)state;
	stage_open(&stage);
	assert_true(is_raw(&stage));
	/* All of its group: the guard is none of it. */
	kill(-stage.user, SIGKILL);
	wait_modes(&stage, false);
	/* The screen is reset after the modes. */
	struct pollfd fds = {.fd = stage.screen, .events = POLLIN};
	while (strstr(text, "\033[m") == NULL && poll(&fds, 1, 10000) == 1) {
		ssize_t n = read(stage.screen, text + len, sizeof(text) - 1 - len);
		assert_true(n > 0);
		len += (size_t)n;
		text[len] = '\0';
	}
	assert_non_null(strstr(text, "\033[?1047l\033[?25h"));
	stage_close(&stage);
}

/* Twice, since the modes to be restored are asked for anew each time. */
static void test_stopped(void **state)
{
	struct stage stage;
	(void)state;
	stage_open(&stage);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(is_raw(&stage));
		kill(stage.user, SIGTSTP);
		wait_news(&stage, 's');
		assert_false(is_raw(&stage));
		kill(stage.user, SIGCONT);
		wait_news(&stage, 'r');
		wait_modes(&stage, true);
		/* SIGCONT was held back as well, and is one more round. */
		wait_news(&stage, 'r');
	}
	/* SIGSTOP cannot be held back; whoever has the terminal meanwhile may change it. */
	kill(stage.user, SIGSTOP);
	wait_news(&stage, 's');
	assert_return_code(tcsetattr(stage.terminal, TCSANOW, &stage.before), errno);
	kill(stage.user, SIGCONT);
	wait_news(&stage, 'r');
	assert_true(is_raw(&stage));
	/* The modes from before all of it are those that come back. */
	kill(stage.user, SIGKILL);
	wait_modes(&stage, false);
	stage_close(&stage);
}

static void test_size(void **state)
{
	struct stage stage;
	struct error err;
	uint32_t rows, columns;
	(void)state;
	stage_open(&stage);
	cleanup_terminal struct terminal *terminal = NULL;
	assert_int_equal(terminal_open(stage.terminal, &terminal, &err), 0);
	terminal_size(terminal, &rows, &columns);
	assert_int_equal(rows, 33);
	assert_int_equal(columns, 99);
	const struct winsize none = {0};
	assert_return_code(ioctl(stage.screen, TIOCSWINSZ, &none), errno);
	wait_news(&stage, 'r'); /* the other one heard of it */
	terminal_size(terminal, &rows, &columns);
	assert_int_equal(rows, 24);
	assert_int_equal(columns, 80);
	stage_close(&stage);
}

static void test_no_terminal(void **state)
{
	struct error err;
	struct terminal *terminal;
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	(void)state;
	assert_true(terminal_open(null, &terminal, &err) < 0);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_non_null(strstr(err.message, "is no terminal"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_escapes_in_pieces),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_no_terminal),
	};
	return cmocka_run_group_tests_name("vm_terminal", tests, NULL, NULL);
}
