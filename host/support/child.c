#include "support/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/memory.h"

static bool is_program(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The path of a file in a folder of PATH; an empty folder is the working one. */
static char *join(const char *folder, size_t len, const char *name)
{
	char here[PATH_MAX];
	if (len != 0 && folder[0] == '/')
		return xasprintf("%.*s/%s", (int)len, folder, name);
	if (getcwd(here, sizeof(here)) == NULL)
		return NULL;
	return xasprintf("%s/%.*s%s%s", here, (int)len, folder, len != 0 ? "/" : "", name);
}

char *child_find(const char *name)
{
	if (strchr(name, '/') != NULL)
		return is_program(name) ? xstrdup(name) : NULL;
	const char *path = getenv("PATH");
	for (const char *p = path != NULL ? path : "/usr/bin:/bin"; *p != '\0';) {
		size_t len = strcspn(p, ":");
		cleanup_free char *candidate = join(p, len, name);
		if (candidate != NULL && is_program(candidate))
			return steal_ptr(&candidate);
		p += len;
		p += *p == ':';
	}
	return NULL;
}

int child_pipe(int *reading, int *writing, struct error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pipe");
	*reading = ends[0];
	*writing = ends[1];
	if (fcntl(*reading, F_SETFL, O_NONBLOCK) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot set up a pipe");
	return 0;
}

/*
 * What follows, up to become, runs between fork and exec, of a process that may have had other
 * threads: system calls only. Each returns 0 or the errno value of what failed.
 */

static int set_signals(const struct child_options *options)
{
	const bool inherited = options->signals == CHILD_SIGNALS_INHERITED;
	for (int i = 1; i < NSIG; i++) {
		struct sigaction old;
		if (inherited && i != SIGPIPE && i != SIGXFSZ && sigaction(i, NULL, &old) == 0 &&
			old.sa_handler == SIG_IGN)
			continue;
		signal(i, SIG_DFL); /* fails for those that have nothing else */
	}
	if (options->ignored_signal != 0 && signal(options->ignored_signal, SIG_IGN) == SIG_ERR)
		return errno;
	sigset_t none;
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? errno : 0;
}

/*
 * Puts the descriptors where they belong: first all out of the way, then each to its number. The
 * report comes behind them until the exec closes it.
 */
static int place_fds(const int *fds, int count, int *report)
{
	int moved[CHILD_FDS_MAX];
	for (int i = 0; i < count; i++) {
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, count + 1);
		if (moved[i] < 0)
			return errno;
	}
	int aside = fcntl(*report, F_DUPFD_CLOEXEC, count + 1);
	if (aside < 0)
		return errno;
	*report = aside;
	for (int i = 0; i < count; i++)
		if (dup2(moved[i], i) < 0)
			return errno;
	if (dup3(aside, count, O_CLOEXEC) < 0)
		return errno;
	*report = count;
	return close_range((unsigned)count + 1, ~0U, 0) < 0 ? errno : 0;
}

static int become(const struct child_options *options, pid_t parent, int *report)
{
	if (prctl(PR_SET_PDEATHSIG, options->death_signal) < 0)
		return errno;
	if (getppid() != parent) /* it ended before the line above */
		_exit(1);
	if (setpgid(0, 0) < 0)
		return errno;
	if (options->privileges == CHILD_NO_NEW_PRIVILEGES &&
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return errno;
	int code = options->landlock != NULL ? landlock_enter(options->landlock) : 0;
	if (code != 0)
		return code;
	if (options->umask != 0)
		umask(options->umask);
	if (options->dir >= 0 && fchdir(options->dir) < 0)
		return errno;
	code = place_fds(options->fds, (int)options->fd_count, report);
	if (code == 0)
		code = set_signals(options);
	if (code != 0)
		return code;
	for (size_t i = 0; i < options->limit_count; i++) {
		const struct child_limit *limit = &options->limits[i];
		if (setrlimit((__rlimit_resource_t)limit->resource, &limit->value) < 0)
			return errno;
	}
	code = options->wall != NULL ? wall_enter(options->wall) : 0;
	if (code != 0)
		return code;
	execve(options->path, (char *const *)(uintptr_t)options->argv,
		options->env != NULL ? (char *const *)(uintptr_t)options->env : environ);
	return errno;
}

static void __attribute__((noreturn))
run_child(const struct child_options *options, pid_t parent, int report)
{
	int code = become(options, parent, &report);
	ssize_t n = write(report, &code, sizeof(code));
	_exit(n == (ssize_t)sizeof(code) ? 127 : 1);
}

/* Forks with all signals held back, so that no handler of ours ever runs in the child. */
static pid_t fork_child(const struct child_options *options, int report)
{
	sigset_t all, old;
	sigfillset(&all);
	pid_t parent = getpid();
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid_t pid = fork();
	if (pid == 0)
		run_child(options, parent, report);
	int code = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = code;
	return pid;
}

/* 0 once the program is executed (or was ended before that); else what stopped it, as errno. */
static int read_report(int report)
{
	int code = 0;
	ssize_t n;
	do
		n = read(report, &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	if (n == 0)
		return 0;
	return n == (ssize_t)sizeof(code) && code > 0 ? code : EIO;
}

static struct child steal_child(struct child *child)
{
	struct child value = *child;
	*child = CHILD_NONE;
	return value;
}

int child_start(const struct child_options *options, struct child *child, struct error *err)
{
	int ends[2];
	*child = CHILD_NONE;
	if (options->fd_count <= STDERR_FILENO || options->fd_count > CHILD_FDS_MAX)
		return error_set(err, ERROR_INTERNAL, EINVAL,
			"%s: %zu descriptors where 3 to %d can be given", options->failure,
			options->fd_count, CHILD_FDS_MAX);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pipe");
	cleanup_close int in = ends[0];
	cleanup_close int out = ends[1];

	pid_t pid = fork_child(options, out);
	if (pid < 0)
		return error_set_errno(err, options->failure_kind, "%s", options->failure);
	cleanup_child struct child started = {.pid = pid, .pidfd = -1};
	close(steal_fd(&out));
	int code = read_report(in);
	if (code != 0)
		return error_set(err, options->failure_kind, code, "%s: %s", options->failure,
			strerror(code));
	started.pidfd = pidfd_open(pid, 0);
	if (started.pidfd < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot watch process %ld", (long)pid);
	*child = steal_child(&started);
	return 0;
}

int child_wait(struct child *child, int *status, struct error *err)
{
	struct child mine = steal_child(child);
	siginfo_t info;
	int r;
	do
		r = waitid(P_PID, (id_t)mine.pid, &info, WEXITED | WNOWAIT);
	while (r < 0 && errno == EINTR);
	/* As long as it is not reaped its group's number is nobody else's. */
	if (r == 0)
		kill(-mine.pid, SIGKILL);
	do
		r = waitpid(mine.pid, status, 0);
	while (r < 0 && errno == EINTR);
	int code = errno;
	cleanup_close_fn(&mine.pidfd);
	errno = code;
	if (r < 0)
		return error_set_errno(
			err, ERROR_INTERNAL, "cannot wait for process %ld", (long)mine.pid);
	return 0;
}

void child_terminate(const struct child *child)
{
	/* It is not waited for yet, and so nobody else has its number. */
	if (child->pid > 0)
		kill(child->pid, SIGTERM);
}

void child_kill(struct child *child)
{
	struct error ignored;
	int status;
	if (child->pid < 0)
		return;
	kill(-child->pid, SIGKILL);
	kill(child->pid, SIGKILL); /* where it has not become a group yet */
	child_wait(child, &status, &ignored);
}
