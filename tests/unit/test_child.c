#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "random_tree.h"
#include "skips.h"
#include "support/child.h"
#include "support/fileio.h"
#include "support/memory.h"

#define DEADLINE_MS 60000
#define OUTPUT_MAX 65536

/* A shell of nothing but defaults, with its output to a file. */
struct shell {
	const char *argv[4];
	int fds[3];
	struct child_options options;
};

static void shell_init(struct shell *shell, const char *script, int output)
{
	static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
	*shell = (struct shell){
		.argv = {"sh", "-c", script, NULL},
		.fds = {output, output, output},
	};
	shell->options = (struct child_options){
		.path = "/bin/sh",
		.argv = shell->argv,
		.env = env,
		.fds = shell->fds,
		.fd_count = 3,
		.dir = -1,
		.death_signal = SIGKILL,
		.privileges = CHILD_NO_NEW_PRIVILEGES,
		.signals = CHILD_SIGNALS_DEFAULT,
		.failure = "cannot run a shell",
		.failure_kind = ERROR_SCRIPT,
	};
}

static int temporary(void)
{
	struct error err;
	int fd = file_temporary(&err);
	assert_true(fd >= 0);
	return fd;
}

/* What a file holds, whatever the position of those who write to it. The caller frees it. */
static char *content(int fd)
{
	struct error err;
	cleanup_buffer struct buffer text = {0};
	assert_return_code(lseek(fd, 0, SEEK_SET), errno);
	assert_int_equal(file_read_all(fd, OUTPUT_MAX, &text, "output", &err), 0);
	return buffer_steal_text(&text);
}

static int count_fds(void)
{
	int count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Of each test: it leaves no descriptor open, and no process. */
static int note_fds(void **state)
{
	static int count;
	count = count_fds();
	*state = &count;
	return 0;
}

static void no_children_left(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static int check_nothing_left(void **state)
{
	assert_int_equal(count_fds(), *(int *)*state);
	no_children_left();
	return 0;
}

/* Runs a program to its end. Returns its wait status. */
static int run(const struct child_options *options)
{
	struct child child;
	struct error err = {0};
	int status;
	if (child_start(options, &child, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(child_wait(&child, &status, &err), 0);
	assert_int_equal(child.pid, -1);
	assert_int_equal(child.pidfd, -1);
	return status;
}

static void test_find(void **state)
{
	(void)state;
	static const struct {
		const char *path, *name,
			*found; /* found: NULL: nothing; "./": of the working folder */
	} table[] = {
		{"/usr/bin:/bin", "/bin/sh", "/bin/sh"},
		{"/usr/bin:/bin", "/bin/no-such-program", NULL},
		{"/usr/bin:/bin", "/etc/passwd", NULL},
		{"/usr/bin:/bin", "/bin", NULL},
		{"/nowhere:/bin:/usr/bin", "sh", "/bin/sh"},
		{"/etc:/bin", "passwd-or-so", NULL},
		{"/etc", "passwd", NULL},
		{"/", "bin", NULL},
		{"", "sh", NULL},
		{NULL, "env", "/usr/bin/env"},
		{"bin:/bin", "program", "./bin/program"},
		{":/bin", "program", "./program"},
		{"/bin", "bin/program", "bin/program"},
	};
	char here[PATH_MAX];
	char folder[] = "/tmp/layervm-test-XXXXXX";
	cleanup_free char *old = xstrdup(getenv("PATH"));
	assert_non_null(getcwd(here, sizeof(here)));
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(mkdir("bin", 0755), 0);
	close(open("program", O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	close(open("bin/program", O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].path != NULL)
			setenv("PATH", table[i].path, 1);
		else
			unsetenv("PATH");
		cleanup_free char *found = child_find(table[i].name);
		cleanup_free char *expected =
			table[i].found == NULL ? xstrdup("nothing")
			: strncmp(table[i].found, "./", 2) == 0
				? xasprintf("%s%s", folder, table[i].found + 1)
				: xstrdup(table[i].found);
		setenv("PATH", old, 1);
		assert_string_equal(found != NULL ? found : "nothing", expected);
	}
	assert_int_equal(unlink("bin/program") | unlink("program") | rmdir("bin"), 0);
	assert_int_equal(chdir(here), 0);
	assert_int_equal(rmdir(folder), 0);
}

/* Any descriptors in any order, and no others. */
static void test_descriptors(void **state)
{
	(void)state;
	enum { POOL = 12, ROUNDS = 40, NUMBERS = 40 };
	struct random random = {random_seed()};
	int pool[POOL];
	char links[POOL][64];
	for (size_t i = 0; i < POOL; i++) {
		cleanup_close int fd = temporary();
		pool[i] = dup(fd); /* an exec does not close it */
		assert_in_range(pool[i], 3, NUMBERS - 1);
		cleanup_free char *path = xasprintf("/proc/self/fd/%d", pool[i]);
		ssize_t len = readlink(path, links[i], sizeof(links[i]) - 1);
		assert_true(len > 0);
		links[i][len] = '\0';
	}
	for (int round = 0; round < ROUNDS; round++) {
		int fds[POOL];
		size_t count = 3 + random_below(&random, POOL - 2);
		const char *argv[NUMBERS + 2] = {"readlink"};
		char paths[NUMBERS][40];
		cleanup_buffer struct buffer expected = {0};
		for (size_t i = 0; i < count; i++) {
			size_t which = random_below(&random, POOL);
			fds[i] = pool[which];
			buffer_printf(&expected, "%s\n", links[which]);
		}
		/* Numbers beyond those given have no links, which readlink(1) passes over. */
		for (size_t i = 0; i < NUMBERS; i++) {
			snprintf(paths[i], sizeof(paths[i]), "/proc/self/fd/%zu", i);
			argv[1 + i] = paths[i];
		}
		const struct child_options options = {
			.path = "/usr/bin/readlink",
			.argv = argv,
			.fds = fds,
			.fd_count = count,
			.dir = -1,
			.death_signal = SIGKILL,
			.failure = "readlink",
		};
		assert_return_code(ftruncate(fds[1], 0), errno);
		assert_return_code(lseek(fds[1], 0, SEEK_SET), errno);
		assert_int_equal(run(&options), 1 << 8);
		cleanup_free char *got = content(fds[1]);
		cleanup_free char *wanted = buffer_steal_text(&expected);
		assert_string_equal(got, wanted);
	}
	for (size_t i = 0; i < POOL; i++)
		close(pool[i]);
}

#define STATE                                                                                      \
	"umask; pwd; ulimit -S -f; ulimit -H -f; ulimit -n;"                                       \
	" sed -n 's/^\\(SigIgn\\|SigBlk\\|NoNewPrivs\\):\t/\\1 /p' /proc/self/status;"             \
	" cut -d ' ' -f 5 /proc/$$/stat | sed \"s/^$$\\$/leads its group/\"; echo $VALUE"

static void check_state(const struct child_options *wanted, const char *expected)
{
	cleanup_close int output = temporary();
	struct shell shell;
	shell_init(&shell, STATE, output);
	struct child_options options = *wanted;
	options.path = shell.options.path;
	options.argv = shell.options.argv;
	options.fds = shell.options.fds;
	options.fd_count = shell.options.fd_count;
	options.failure = shell.options.failure;
	assert_int_equal(run(&options), 0);
	cleanup_free char *got = content(output);
	assert_string_equal(got, expected);
}

/*
 * All that a program inherits or gets. This process ignores SIGHUP (as from nohup), SIGPIPE and
 * SIGXFSZ, and holds SIGUSR1 back.
 */
static void test_state(void **state)
{
	(void)state;
	static const int ignored[] = {SIGHUP, SIGPIPE, SIGXFSZ};
	static const struct child_limit limits[] = {
		{RLIMIT_FSIZE, {512 * 1024, 1024 * 1024}},
		{RLIMIT_NOFILE, {20, 20}},
	};
	static const char *const env[] = {"PATH=/usr/bin:/bin", "VALUE=given", NULL};
	cleanup_close int dir = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char here[PATH_MAX];
	struct rlimit size, files;
	sigset_t usr1, old;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &size), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	if (size.rlim_cur != RLIM_INFINITY || size.rlim_max != RLIM_INFINITY)
		skip_test("unlimited-files");
	cleanup_free char *inherited = xasprintf("0027\n%s\nunlimited\nunlimited\n%llu\n"
						 "SigBlk 0000000000000000\n"
						 "SigIgn 0000000000000001\n"
						 "NoNewPrivs 0\nleads its group\nours\n",
		here, (unsigned long long)files.rlim_cur);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &old);
	mode_t old_mask = umask(027);
	setenv("VALUE", "ours", 1);

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	check_state(
		&(struct child_options){
			.env = env,
			.dir = dir,
			.umask = 022,
			.death_signal = SIGKILL,
			.privileges = CHILD_NO_NEW_PRIVILEGES,
			.signals = CHILD_SIGNALS_DEFAULT,
			.ignored_signal = SIGXFSZ,
			.limits = limits,
			.limit_count = sizeof(limits) / sizeof(limits[0]),
		},
		"0022\n/proc\n1024\n2048\n20\n"
		"SigBlk 0000000000000000\n"
		"SigIgn 0000000001000000\n"
		"NoNewPrivs 1\nleads its group\ngiven\n");
	check_state(
		&(struct child_options){
			.dir = -1,
			.privileges = CHILD_ANY_PRIVILEGES,
			.signals = CHILD_SIGNALS_INHERITED,
		},
		inherited);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	umask(old_mask);
	unsetenv("VALUE");
}

static void test_failures(void **state)
{
	(void)state;
	static const int closed[] = {1, 1, INT_MAX};
	static const int many[CHILD_FDS_MAX + 1] = {0};
	static const struct child_limit limit = {RLIM_NLIMITS, {0, 0}};
	cleanup_close int output = temporary();
	struct shell shell;
	shell_init(&shell, "echo ran", output);
	struct child_options bad[7];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		bad[i] = shell.options;
	bad[0].path = "/no/such/program";
	bad[1].path = "/etc/passwd";
	bad[2].dir = output;
	bad[3].fds = closed;
	bad[4].limits = &limit;
	bad[4].limit_count = 1;
	bad[5].fd_count = 2;
	bad[6].fds = many;
	bad[6].fd_count = CHILD_FDS_MAX + 1;
	static const struct {
		enum error_kind kind;
		int code;
		const char *message;
	} table[] = {
		{ERROR_SCRIPT, ENOENT, "cannot run a shell: No such file or directory"},
		{ERROR_SCRIPT, EACCES, "cannot run a shell: Permission denied"},
		{ERROR_SCRIPT, ENOTDIR, "cannot run a shell: Not a directory"},
		{ERROR_SCRIPT, EBADF, "cannot run a shell: Bad file descriptor"},
		{ERROR_SCRIPT, EINVAL, "cannot run a shell: Invalid argument"},
		{ERROR_INTERNAL, EINVAL,
			"cannot run a shell: 2 descriptors where 3 to 64 can be given"},
		{ERROR_INTERNAL, EINVAL,
			"cannot run a shell: 65 descriptors where 3 to 64 can be given"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct child child = {.pid = 1, .pidfd = 1};
		struct error err = {0};
		assert_int_equal(child_start(&bad[i], &child, &err), -table[i].code);
		assert_string_equal(err.message, table[i].message);
		assert_int_equal(err.kind, table[i].kind);
		assert_int_equal(child.pid, -1);
		assert_int_equal(child.pidfd, -1);
		no_children_left();
	}
	cleanup_free char *got = content(output);
	assert_string_equal(got, "");
}

static void test_status(void **state)
{
	(void)state;
	static const struct {
		const char *script;
		int status;
	} table[] = {
		{"exit 0", 0},
		{"exit 200", 200 << 8},
		{"kill -s USR1 $$", SIGUSR1},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		cleanup_close int output = temporary();
		struct shell shell;
		shell_init(&shell, table[i].script, output);
		assert_int_equal(run(&shell.options), table[i].status);
	}
}

/* A program that nobody waits for any more: its number is another's, and left alone. */
static void test_wait_for_none(void **state)
{
	(void)state;
	cleanup_close int output = temporary();
	struct shell shell;
	struct child child;
	struct error err = {0};
	int status;
	shell_init(&shell, "exit 0", output);
	assert_int_equal(child_start(&shell.options, &child, &err), 0);
	cleanup_free char *message =
		xasprintf("cannot wait for process %ld: No child processes", (long)child.pid);
	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	assert_int_equal(child_wait(&child, &status, &err), -ECHILD);
	assert_string_equal(err.message, message);
	assert_int_equal(child.pid, -1);
	assert_int_equal(child.pidfd, -1);
	child_kill(&child);
}

static void await_end(int pidfd)
{
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};
	assert_int_equal(poll(&fd, 1, DEADLINE_MS), 1);
}

/* Waits until a file has a line, and gives the number that it is. */
static pid_t read_pid(int pipe)
{
	char text[32] = {0};
	for (size_t len = 0; strchr(text, '\n') == NULL && len < sizeof(text) - 1; len++)
		assert_int_equal(read(pipe, text + len, 1), 1);
	long pid = strtol(text, NULL, 10);
	assert_true(pid > 1);
	return (pid_t)pid;
}

/* The pidfd tells the end, and what is left in the group ends with it. */
static void test_group(void **state)
{
	(void)state;
	static const struct {
		const char *script;
		bool by_kill;
	} table[] = {
		{"sleep 300 & echo $!", false},
		{"trap '' TERM HUP INT; sleep 300 & echo $!; wait", true},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int ends[2], status;
		struct shell shell;
		struct child child;
		struct error err = {0};
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		shell_init(&shell, table[i].script, ends[1]);
		assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1L), 0);
		assert_int_equal(child_start(&shell.options, &child, &err), 0);
		close(ends[1]);
		pid_t rest = read_pid(ends[0]);
		cleanup_close int rest_fd = pidfd_open(rest, 0);
		assert_true(rest_fd >= 0);
		if (table[i].by_kill) {
			struct pollfd running = {.fd = child.pidfd, .events = POLLIN};
			assert_int_equal(poll(&running, 1, 0), 0);
			child_kill(&child);
		} else {
			await_end(child.pidfd);
			assert_int_equal(child_wait(&child, &status, &err), 0);
			assert_int_equal(status, 0);
		}
		assert_int_equal(child.pid, -1);
		await_end(rest_fd);
		assert_int_equal(waitpid(rest, &status, 0), rest);
		assert_int_equal(status, SIGKILL);
		assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0L), 0);
		/* No process has the pipe open. */
		char byte;
		assert_int_equal(read(ends[0], &byte, 1), 0);
		close(ends[0]);
	}
}

/* It gets its signal when this program ends, in whatever way. */
static void test_death_signal(void **state)
{
	(void)state;
	static const struct {
		int signal;
		const char *said;
	} table[] = {
		{SIGTERM, "told"},
		{SIGKILL, ""},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int ends[2], status;
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		pid_t pid = fork();
		if (pid == 0) {
			struct shell shell;
			struct child child;
			struct error err;
			shell_init(&shell,
				"trap 'printf told; exit' TERM; echo $$; while :; do sleep 0.1; "
				"done",
				ends[1]);
			shell.options.death_signal = table[i].signal;
			child_start(&shell.options, &child, &err);
			pause();
			_exit(1);
		}
		close(ends[1]);
		read_pid(ends[0]);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		/* To its end: then no process has the pipe open. */
		char said[16] = {0};
		for (size_t len = 0; len < sizeof(said) - 1; len++) {
			if (read(ends[0], said + len, 1) != 1)
				break;
		}
		assert_string_equal(said, table[i].said);
		close(ends[0]);
	}
}

/* Our end waits for nothing, the child's waits; neither is inherited as it is. */
static void test_pipe(void **state)
{
	(void)state;
	int reading, writing;
	char byte;
	struct error err;
	assert_int_equal(child_pipe(&reading, &writing, &err), 0);
	assert_int_equal(read(reading, &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fcntl(writing, F_GETFL), O_WRONLY);
	assert_int_equal(fcntl(reading, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(writing, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(writing, "x", 1), 1);
	assert_int_equal(read(reading, &byte, 1), 1);
	close(writing);
	assert_int_equal(read(reading, &byte, 1), 0);
	close(reading);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, note_fds, check_nothing_left)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_find),
		TEST(test_pipe),
		TEST(test_descriptors),
		TEST(test_state),
		TEST(test_failures),
		TEST(test_status),
		TEST(test_wait_for_none),
		TEST(test_group),
		TEST(test_death_signal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
