#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "hostdir/workdir.h"
#include "hostfiles.h"
#include "support/interrupt.h"
#include "support/memory.h"

static void test_failures(void **state)
{
	(void)state;
	static const struct {
		const char *script;
		enum error_kind kind;
		int status;
		const char *message;
	} table[] = {
		{"exit 3", ERROR_SCRIPT, 3, "extraCommands ended with exit status 3"},
		{"false; exit 0", ERROR_SCRIPT, 1, "extraCommands ended with exit status 1"},
		{"no-such-command-here", ERROR_SCRIPT, 127,
			"extraCommands ended with exit status 127"},
		{"kill -USR1 $$", ERROR_SCRIPT, 138,
			"extraCommands was ended by signal 10, SIGUSR1"},
		{"mkdir d; chmod 0 d .; exit 4", ERROR_SCRIPT, 4,
			"extraCommands ended with exit status 4"},
		{"rm -r ../root", ERROR_INPUT, 0,
			"extraCommands: the script removed its working folder"},
		{"rm -r \"${PWD%/*}\"", ERROR_INPUT, 0,
			"extraCommands: the script removed its working folder"},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		cleanup_tree struct tree *tree = empty_tree();
		cleanup_free char *report = NULL;
		struct error err = {0};
		assert_true(run_script(tree, table[i].script, &report, &err) < 0);
		assert_string_equal(err.message, table[i].message);
		assert_int_equal(err.kind, table[i].kind);
		assert_int_equal(err.status, table[i].status);
		assert_null(strstr(report, "warning"));
	}
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_free char *report = NULL;
	cleanup_free char *script = xmalloc(131073);
	struct error err = {0};
	memset(script, '\n', 131072);
	script[131072] = '\0';
	assert_true(run_script(tree, script, &report, &err) < 0);
	assert_int_equal(err.kind, ERROR_LIMIT);
	script[131071] = '\0';
	free(steal_ptr(&report));
	assert_int_equal(run_script(tree, script, &report, &err), 0);
	assert_nothing_left();
}

/* Where TMPDIR cannot be written, or takes too little. */
static void test_no_room(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_free char *report = NULL;
	cleanup_free char *old = xstrdup(getenv("TMPDIR"));
	struct error err = {0};
	setenv("TMPDIR", "/nonexistent/folder", 1);
	assert_true(run_script(tree, "true", &report, &err) < 0);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_string_equal(err.message,
		"/nonexistent/folder: cannot make a temporary folder where TMPDIR says: No such "
		"file or directory");
	setenv("TMPDIR", old, 1);

	static const struct item items[] = {{'f', "f", 0644, 1, "more than fits", 0}, {0}};
	struct rlimit limit;
	items_to_tree(items, tree);
	free(steal_ptr(&report));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	const struct rlimit low = {.rlim_cur = 4, .rlim_max = limit.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	int r = run_script(tree, "true", &report, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_true(r < 0);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_ptr_equal(strstr(err.message, old), err.message);
	assert_non_null(strstr(err.message, ": /f: cannot make a file of its size"));
	assert_nothing_left();
}

static bool is_alive(const char *pid_text)
{
	char text[256] = {0};
	cleanup_free char *path = xasprintf("/proc/%ld/stat", strtol(pid_text, NULL, 10));
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return false;
	const char *state = strrchr(text, ')');
	return state != NULL && state[2] != 'Z' && state[2] != 'X';
}

/* Whether it is gone within a few seconds: who is killed is not gone at once. */
static bool ends(const char *pid_text)
{
	const struct timespec step = {.tv_nsec = 10 * 1000 * 1000};
	for (int i = 0; i < 500 && is_alive(pid_text); i++)
		nanosleep(&step, NULL);
	return !is_alive(pid_text);
}

/* In the background with the pipes open: nobody waits for it, and it does not live on. */
static void test_background_process(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_free char *report = NULL;
	struct error err = {0};
	time_t start = time(NULL);
	assert_int_equal(run_script(tree, "sleep 300 & echo $!", &report, &err), 0);
	assert_true(time(NULL) - start < 60);
	pid_t pid = (pid_t)strtol(report, NULL, 10);
	assert_true(pid > 1);
	/* Gone and reaped, so that it is not at work in the folder any more. */
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

/* What this program ignores for itself, the script does not. */
static void test_ignored_signals(void **state)
{
	(void)state;
	static const int ignored[] = {SIGPIPE, SIGXFSZ};
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_free char *report = NULL;
	struct error err = {0};
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	int r = run_script(tree, "sed -n 's/^SigIgn:\t//p' /proc/$$/status; exit 3", &report, &err);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_DFL);
	assert_true(r < 0);
	assert_int_equal(err.status, 3);
	unsigned long long mask = strtoull(report, NULL, 16);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		assert_int_equal(mask >> (ignored[i] - 1) & 1, 0);
}

/* One that left the process group holds the pipes, but nobody waits for it. */
static void test_escaped_process(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_free char *report = NULL;
	struct error err = {0};
	time_t start = time(NULL);
	assert_int_equal(run_script(tree, "setsid sh -c 'echo $$; exec sleep 20' & sleep 0.2",
				 &report, &err),
		0);
	assert_true(time(NULL) - start < 15);
	long pid = strtol(report, NULL, 10);
	assert_true(pid > 1);
	kill((pid_t)pid, SIGKILL);
}

/* More output than pipes hold, on both, in order on each. */
static void test_much_output(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_close int fd = -1;
	cleanup_report struct report *report = report_to_file(&fd);
	const struct workdir_options options = {.report = report};
	struct error err = {0};
	struct stat st;
	assert_int_equal(
		workdir_run(tree, "head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2",
			&options, &err),
		0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 5000000);
}

/* Signals come once and for all: what they are sent to is a process of its own. */
struct interrupter {
	int fd; /* they are sent once something was written here */
	int signals;
	long pause_ms;   /* before each of them */
	int64_t sent_ms; /* when the last one was */
};

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void *send_signals(void *argument)
{
	struct interrupter *me = argument;
	const struct timespec step = {.tv_nsec = 10 * 1000 * 1000};
	struct stat st;
	while (fstat(me->fd, &st) == 0 && st.st_size == 0)
		nanosleep(&step, NULL);
	const struct timespec pause = {
		.tv_sec = me->pause_ms / 1000, .tv_nsec = me->pause_ms % 1000 * 1000 * 1000};
	for (int i = 0; i < me->signals; i++) {
		nanosleep(&pause, NULL);
		me->sent_ms = now_ms();
		kill(getpid(), SIGTERM);
	}
	return NULL;
}

struct interruption {
	const char *script;
	int signals;
	long pause_ms;
	bool has_trap_run;
};

/* Returns 0 where the script ended as it should, and well before the time of grace was over. */
static int run_interrupted(const struct interruption *wanted, int report_fd)
{
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_report struct report *report = report_new(REPORT_PLAIN, report_fd);
	const struct workdir_options options = {.report = report};
	struct interrupter interrupter = {
		.fd = report_fd, .signals = wanted->signals, .pause_ms = wanted->pause_ms};
	struct error err = {0};
	pthread_t thread;
	if (interrupt_setup(&err) < 0 ||
		pthread_create(&thread, NULL, send_signals, &interrupter) != 0)
		return 1;
	int r = workdir_run(tree, wanted->script, &options, &err);
	int64_t ended_ms = now_ms();
	pthread_join(thread, NULL);
	if (r >= 0 || err.kind != ERROR_INTERRUPTED || err.status != SIGTERM)
		return 2;
	return ended_ms - interrupter.sent_ms < 4500 ? 0 : 3;
}

static void test_interrupted(void **state)
{
	(void)state;
	static const struct interruption table[] = {
		/* It was a SIGTERM, and there was time. */
		{"trap 'echo ended; exit 0' TERM; echo $$; sleep 300 & wait", 1, 10, true},
		/* Signals that come together are one. */
		{"trap 'sleep 0.2; echo ended; exit 0' TERM; echo $$; sleep 300 & wait", 3, 10,
			true},
		/* It does not want to go. */
		{"trap '' TERM; echo $$; while :; do sleep 1; done", 2, INTERRUPT_PAUSE_MS + 10,
			false},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int status;
		int fd;
		report_free(report_to_file(&fd));
		pid_t pid = fork();
		if (pid == 0)
			_exit(run_interrupted(&table[i], fd));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		cleanup_free char *text = reported(fd);
		close(fd);
		assert_true(strtol(text, NULL, 10) > 1);
		assert_true(ends(text));
		assert_true((strstr(text, "ended") != NULL) == table[i].has_trap_run);
	}
	assert_nothing_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_background_process),
		cmocka_unit_test(test_ignored_signals),
		cmocka_unit_test(test_escaped_process),
		cmocka_unit_test(test_much_output),
		cmocka_unit_test(test_interrupted),
	};
	return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
