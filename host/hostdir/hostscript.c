#include "hostdir/hostscript.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/interrupt.h"
#include "support/memory.h"

/* From the SIGTERM to the SIGKILL. */
#define GRACE_MS 5000

/* MAX_ARG_STRLEN of the kernel: the longest single argument of execve(2), its NUL included. */
#define ARGUMENT_MAX 131072

#define READ_CHUNK 16384

/* What a pipe may hold by default (pipe-max-size), in chunks. */
#define PIPE_CHUNKS_MAX (1048576 / READ_CHUNK)

struct pipe_pair {
	int read, write;
};

struct running {
	pid_t pid;
	int pidfd;
	int output[2]; /* standard output and standard error, to read from; -1: at their end */
	bool ending;   /* SIGTERM was sent */
	int64_t deadline_ms; /* when the SIGKILL follows */
	struct report *report;
};

static void close_pipe(struct pipe_pair *p)
{
	if (p->read >= 0)
		close(p->read);
	if (p->write >= 0)
		close(p->write);
}
#define cleanup_pipe __attribute__((cleanup(close_pipe)))

static int make_pipe(struct pipe_pair *p, struct error *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pipe");
	*p = (struct pipe_pair){fds[0], fds[1]};
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/*
 * Signals as a program expects them: those that this program catches or ignores for itself have
 * their default again; a SIGINT, SIGTERM or SIGHUP that our caller has ignored stays ignored.
 */
static void reset_signals(void)
{
	static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++) {
		struct sigaction old;
		if (sigaction(caught[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(caught[i], &action, NULL);
	}
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGXFSZ, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

struct child {
	const char *script, *name;
	pid_t parent;
	int dir, input, output, errors, failed; /* descriptors; the last one reports an errno */
};

/* The child, up to its exec. Returns only when that failed. */
static void become_script(const struct child *c)
{
	const char *const bash[] = {"bash", "-e", "-c", c->script, c->name, NULL};
	const char *const sh[] = {"sh", "-e", "-c", c->script, c->name, NULL};
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != c->parent)
		return;
	umask(022);
	if (fchdir(c->dir) < 0 || dup2(c->input, STDIN_FILENO) < 0 ||
		dup2(c->output, STDOUT_FILENO) < 0 || dup2(c->errors, STDERR_FILENO) < 0)
		return;
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	reset_signals();
	execvp(bash[0], (char *const *)(uintptr_t)bash);
	if (errno == ENOENT)
		execvp(sh[0], (char *const *)(uintptr_t)sh);
}

/* Forks with signals held back, so that no handler of ours ever runs in the child. */
static pid_t fork_script(const struct child *c)
{
	sigset_t all, old;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid_t pid = fork();
	if (pid == 0) {
		become_script(c);
		int code = errno;
		ssize_t n = write(c->failed, &code, sizeof(code));
		(void)n;
		_exit(127);
	}
	int code = errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	errno = code;
	return pid;
}

/* Waits for the exec or for the word that it failed. */
static int check_start(int fd, struct error *err)
{
	int code = 0;
	ssize_t n;
	do {
		n = read(fd, &code, sizeof(code));
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	errno = n == (ssize_t)sizeof(code) ? code : EIO;
	return error_set_errno(err, ERROR_INTERNAL, "cannot run bash or sh of the host");
}

static int start(
	struct running *run, const char *script, const char *name, int dir, struct error *err)
{
	cleanup_pipe struct pipe_pair output = {-1, -1};
	cleanup_pipe struct pipe_pair errors = {-1, -1};
	cleanup_pipe struct pipe_pair failed = {-1, -1};
	cleanup_close int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (input < 0)
		return error_set_errno(err, ERROR_INTERNAL, "/dev/null: cannot open");
	int r = make_pipe(&output, err);
	if (r == 0)
		r = make_pipe(&errors, err);
	if (r == 0)
		r = make_pipe(&failed, err);
	if (r < 0)
		return r;
	const struct child child = {
		.script = script,
		.name = name,
		.parent = getpid(),
		.dir = dir,
		.input = input,
		.output = output.write,
		.errors = errors.write,
		.failed = failed.write,
	};
	/* A caller may have left it ignored: then waiting would fail. */
	signal(SIGCHLD, SIG_DFL);
	/* What the script leaves in its process group becomes our child: finish waits for it. */
	prctl(PR_SET_CHILD_SUBREAPER, 1L);
	run->pid = fork_script(&child);
	if (run->pid < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot start a process");
	setpgid(run->pid, run->pid); /* whichever of the two comes first */
	close(steal_fd(&failed.write));
	r = check_start(failed.read, err);
	if (r < 0)
		return r;
	run->pidfd = pidfd_open(run->pid, 0);
	if (run->pidfd < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot watch a process");
	run->output[0] = steal_fd(&output.read);
	run->output[1] = steal_fd(&errors.read);
	for (size_t i = 0; i < 2; i++)
		fcntl(run->output[i], F_SETFL, O_NONBLOCK);
	return 0;
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
	bool at_once = run->ending || interrupt_count() > 1;
	kill(-run->pid, at_once ? SIGKILL : SIGTERM);
	if (!run->ending)
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
			{.fd = run->pidfd, .events = POLLIN},
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
			kill(-run->pid, SIGKILL);
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
static int finish(struct running *run)
{
	int status = 0;
	kill(-run->pid, SIGKILL);
	while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
		;
	wait_for_group(run->pid);
	prctl(PR_SET_CHILD_SUBREAPER, 0L);
	/* Not until the end of file: a process that left the group may hold the pipes open. */
	for (size_t i = 0; i < 2; i++) {
		for (size_t n = 0; n < PIPE_CHUNKS_MAX && pass_output(run, i); n++)
			;
	}
	return status;
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
	struct running run = {.pid = -1, .pidfd = -1, .output = {-1, -1}, .report = report};
	size_t len = strlen(script);
	if (len >= ARGUMENT_MAX)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"%s has %zu bytes; the most is %d: put the rest in a file that it runs",
			name, len, ARGUMENT_MAX - 1);
	int r = start(&run, script, name, dir, err);
	if (r == 0)
		r = pump(&run, err);
	int status = run.pid > 0 ? finish(&run) : 0;
	for (size_t i = 0; i < 2; i++) {
		if (run.output[i] >= 0)
			close(run.output[i]);
	}
	if (run.pidfd >= 0)
		close(run.pidfd);
	if (r < 0)
		return r;
	r = interrupt_check(err);
	return r < 0 ? r : judge(status, name, err);
}
