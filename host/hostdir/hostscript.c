#include "hostdir/hostscript.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/child.h"
#include "support/interrupt.h"
#include "support/memory.h"

/* From the SIGTERM to the SIGKILL. */
#define GRACE_MS 5000

/* MAX_ARG_STRLEN of the kernel: the longest single argument of execve(2), its NUL included. */
#define ARGUMENT_MAX 131072

#define READ_CHUNK 16384

/* What a pipe may hold by default (pipe-max-size), in chunks. */
#define PIPE_CHUNKS_MAX (1048576 / READ_CHUNK)

struct running {
	struct child child;
	int output[2]; /* standard output and standard error, to read from; -1: at their end */
	bool ending;   /* SIGTERM was sent */
	int64_t deadline_ms; /* when the SIGKILL follows */
	struct report *report;
};

static void close_output(struct running *run)
{
	cleanup_close_fn(&run->output[0]);
	cleanup_close_fn(&run->output[1]);
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The shell of the host, NULL where it has none. *name: its argv[0]. The caller frees the path. */
static char *find_shell(const char **name)
{
	static const char *const names[] = {"bash", "sh"};
	char *path = NULL;
	for (size_t i = 0; path == NULL && i < sizeof(names) / sizeof(names[0]); i++) {
		*name = names[i];
		path = child_find(*name);
	}
	return path;
}

static int start(
	struct running *run, const char *script, const char *name, int dir, struct error *err)
{
	static const char failure[] = "cannot run bash or sh of the host";
	cleanup_close int output = -1;
	cleanup_close int errors = -1;
	cleanup_close int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (input < 0)
		return error_set_errno(err, ERROR_INTERNAL, "/dev/null: cannot open");
	int r = child_pipe(&run->output[0], &output, err);
	if (r == 0)
		r = child_pipe(&run->output[1], &errors, err);
	if (r < 0)
		return r;
	const char *shell_name;
	cleanup_free char *shell = find_shell(&shell_name);
	if (shell == NULL)
		return error_set(err, ERROR_INTERNAL, ENOENT, "%s: %s", failure, strerror(ENOENT));
	const char *const argv[] = {shell_name, "-e", "-c", script, name, NULL};
	const int fds[] = {input, output, errors};
	const struct child_options options = {
		.path = shell,
		.argv = argv,
		.fds = fds,
		.fd_count = sizeof(fds) / sizeof(fds[0]),
		.dir = dir,
		.umask = 022,
		.death_signal = SIGKILL,
		.privileges = CHILD_ANY_PRIVILEGES,
		.signals = CHILD_SIGNALS_INHERITED,
		.failure = failure,
		.failure_kind = ERROR_INTERNAL,
	};
	/* What the script leaves in its process group becomes our child: finish waits for it. */
	prctl(PR_SET_CHILD_SUBREAPER, 1L);
	r = child_start(&options, &run->child, err);
	if (r < 0)
		prctl(PR_SET_CHILD_SUBREAPER, 0L);
	return r;
}

/* Passes on what there is. Returns whether there may be more at once. */
static bool pass_output(struct running *run, size_t which)
{
	char chunk[READ_CHUNK];
	int fd = run->output[which];
	ssize_t n = fd >= 0 ? read(fd, chunk, sizeof(chunk)) : 0;
	if (n > 0) {
		report_output(run->report, which == 1, chunk, (size_t)n);
		return true;
	}
	if (fd >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR)))
		close(steal_fd(&run->output[which]));
	return false;
}

static void take_signal(struct running *run)
{
	char bytes[64];
	while (read(interrupt_fd(), bytes, sizeof(bytes)) > 0)
		;
	if (interrupt_count() > 1)
		kill(-run->child.pid, SIGKILL);
	if (run->ending)
		return;
	kill(-run->child.pid, SIGTERM);
	run->deadline_ms = now_ms() + GRACE_MS;
	run->ending = true;
}

static int time_left(const struct running *run)
{
	if (!run->ending)
		return -1;
	int64_t left = run->deadline_ms - now_ms();
	return left > 0 ? (int)left : 0;
}

/* Passes output and signals on until the script has ended. */
static int pump(struct running *run, struct error *err)
{
	for (;;) {
		struct pollfd fds[] = {
			{.fd = run->child.pidfd, .events = POLLIN},
			{.fd = interrupt_fd(), .events = POLLIN},
			{.fd = run->output[0], .events = POLLIN},
			{.fd = run->output[1], .events = POLLIN},
		};
		int n = poll(fds, sizeof(fds) / sizeof(fds[0]), time_left(run));
		if (n < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL, "cannot wait for a process");
		if (n < 0)
			continue;
		for (size_t i = 0; i < 2; i++) {
			if (fds[2 + i].revents != 0)
				pass_output(run, i);
		}
		if (fds[0].revents != 0)
			return 0;
		if (fds[1].revents != 0)
			take_signal(run);
		if (run->ending && time_left(run) == 0) {
			kill(-run->child.pid, SIGKILL);
			run->deadline_ms = now_ms() + GRACE_MS;
		}
	}
}

/*
 * Waits until the killed processes of a group are gone, so that none of them is still at work in
 * the folder. Not for ever: one with another user's rights is not ours to kill.
 */
static void wait_for_group(pid_t group)
{
	const struct timespec step = {.tv_nsec = 1000 * 1000};
	int64_t deadline_ms = now_ms() + GRACE_MS;
	pid_t pid;
	while ((pid = waitpid(-group, NULL, WNOHANG)) >= 0 && now_ms() < deadline_ms) {
		if (pid == 0)
			nanosleep(&step, NULL);
	}
}

/*
 * Ends what is left of the process group and reaps the script. It is killed before it is reaped:
 * until then no other process can have its number.
 */
static int finish(struct running *run, int *status, struct error *err)
{
	pid_t group = run->child.pid;
	kill(-group, SIGKILL);
	int r = child_wait(&run->child, status, err);
	wait_for_group(group);
	prctl(PR_SET_CHILD_SUBREAPER, 0L);
	/* Not until the end of file: a process that left the group may hold the pipes open. */
	for (size_t i = 0; i < 2; i++) {
		for (size_t n = 0; n < PIPE_CHUNKS_MAX && pass_output(run, i); n++)
			;
	}
	return r;
}

static int judge(int status, const char *name, struct error *err)
{
	int r;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status)) {
		r = error_set(err, ERROR_SCRIPT, ECHILD, "%s ended with exit status %d", name,
			WEXITSTATUS(status));
		err->status = WEXITSTATUS(status);
	} else {
		const char *signal_name = sigabbrev_np(WTERMSIG(status));
		r = error_set(err, ERROR_SCRIPT, ECHILD, "%s was ended by signal %d%s%s", name,
			WTERMSIG(status), signal_name != NULL ? ", SIG" : "",
			signal_name != NULL ? signal_name : "");
		err->status = 128 + WTERMSIG(status);
	}
	return r;
}

int hostscript_run(
	const char *script, const char *name, int dir, struct report *report, struct error *err)
{
	__attribute__((cleanup(close_output))) struct running run = {
		.child = CHILD_NONE, .output = {-1, -1}, .report = report};
	size_t len = strlen(script);
	if (len >= ARGUMENT_MAX)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"%s has %zu bytes; the most is %d: put the rest in a file that it runs",
			name, len, ARGUMENT_MAX - 1);
	int r = start(&run, script, name, dir, err);
	if (r < 0)
		return r;
	int status = 0;
	struct error ignored;
	r = pump(&run, err);
	int end = finish(&run, &status, r < 0 ? &ignored : err);
	if (r < 0 || end < 0)
		return r < 0 ? r : end;
	r = interrupt_check(err);
	return r < 0 ? r : judge(status, name, err);
}
