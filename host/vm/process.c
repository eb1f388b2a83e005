#include "vm/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/memory.h"

#define FD_LIMIT 256 /* open files; QEMU needs some tens */

static bool is_program(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The path of a program, NULL where PATH has none. The caller frees it. */
static char *find_program(const char *name)
{
	if (strchr(name, '/') != NULL)
		return is_program(name) ? xstrdup(name) : NULL;
	const char *path = getenv("PATH");
	for (const char *p = path != NULL ? path : "/usr/bin:/bin"; *p != '\0';) {
		size_t len = strcspn(p, ":");
		cleanup_free char *candidate =
			xasprintf("%.*s/%s", len != 0 ? (int)len : 1, len != 0 ? p : ".", name);
		if (is_program(candidate))
			return steal_ptr(&candidate);
		p += len;
		p += *p == ':';
	}
	return NULL;
}

/*
 * What follows runs between fork and exec: system calls only. Returns the errno value of what
 * failed.
 */
static int set_limits(uint64_t file_limit)
{
	const struct rlimit core = {0, 0};
	const struct rlimit files = {FD_LIMIT, FD_LIMIT};
	struct rlimit size;
	if (setrlimit(RLIMIT_CORE, &core) < 0 || getrlimit(RLIMIT_FSIZE, &size) < 0)
		return errno;
	if (file_limit < size.rlim_max)
		size.rlim_max = file_limit;
	if (size.rlim_max < size.rlim_cur)
		size.rlim_cur = size.rlim_max;
	if (setrlimit(RLIMIT_FSIZE, &size) < 0)
		return errno;
	struct rlimit now;
	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return errno;
	if (now.rlim_max > FD_LIMIT && setrlimit(RLIMIT_NOFILE, &files) < 0)
		return errno;
	return 0;
}

static void reset_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	/* A file at its limit is an error for the guest, and no end of QEMU. */
	signal(SIGXFSZ, SIG_IGN);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Puts the descriptors where they belong: first all out of the way, then each to its number. */
static int place_fds(const int *fds, int count, int *report)
{
	int moved[PROCESS_FDS_MAX];
	for (int i = 0; i < count; i++) {
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, count + 1);
		if (moved[i] < 0)
			return errno;
	}
	*report = fcntl(*report, F_DUPFD_CLOEXEC, count + 1);
	if (*report < 0)
		return errno;
	for (int i = 0; i < count; i++)
		if (dup2(moved[i], i) < 0)
			return errno;
	if (dup3(*report, count, O_CLOEXEC) < 0)
		return errno;
	*report = count;
	return close_range((unsigned)count + 1, ~0U, 0) < 0 ? errno : 0;
}

static int become(
	const char *path, const struct process_options *options, pid_t parent, int *report)
{
	static char *const env[] = {"LC_ALL=C", "PATH=/usr/bin:/bin", NULL};
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return errno;
	if (getppid() != parent) /* it ended before the line above */
		_exit(1);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setpgid(0, 0) < 0)
		return errno;
	reset_signals();
	int code = place_fds(options->fds, (int)options->fd_count, report);
	if (code == 0)
		code = set_limits(options->file_limit);
	if (code != 0)
		return code;
	execve(path, options->argv, env);
	return errno;
}

static void __attribute__((noreturn))
run_child(const char *path, const struct process_options *options, pid_t parent, int report)
{
	int code = become(path, options, parent, &report);
	ssize_t n = write(report, &code, sizeof(code));
	_exit(n == (ssize_t)sizeof(code) ? 127 : 1);
}

/* 0 once the program runs; else the errno value of what stopped it. */
static int read_report(int report)
{
	int code = 0;
	ssize_t n;
	do
		n = read(report, &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	return n == (ssize_t)sizeof(code) ? code : 0;
}

static struct process steal_process(struct process *process)
{
	struct process value = *process;
	*process = PROCESS_NONE;
	return value;
}

int process_start(const struct process_options *options, struct process *process, struct error *err)
{
	int report[2];
	*process = PROCESS_NONE;
	cleanup_free char *path = find_program(options->program);
	if (path == NULL)
		return error_set(err, ERROR_QEMU, ENOENT,
			"%s not found; install the package qemu-system-x86", options->program);
	/* A caller may have left it ignored (nohup, some supervisors): then waiting would fail. */
	signal(SIGCHLD, SIG_DFL);
	if (pipe2(report, O_CLOEXEC) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pipe");
	cleanup_close int in = report[0];
	cleanup_close int out = report[1];

	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return error_set_errno(err, ERROR_QEMU, "%s: cannot start a process", path);
	if (pid == 0)
		run_child(path, options, parent, out);
	cleanup_process struct process child = {.pid = pid, .pidfd = -1};
	close(steal_fd(&out));
	int code = read_report(in);
	if (code != 0)
		return error_set(
			err, ERROR_QEMU, code, "%s: cannot be started: %s", path, strerror(code));
	child.pidfd = pidfd_open(pid, 0);
	if (child.pidfd < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot watch process %ld", (long)pid);
	*process = steal_process(&child);
	return 0;
}

int process_wait(struct process *process, int *status, struct error *err)
{
	siginfo_t info;
	int r;
	do
		r = waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOWAIT);
	while (r < 0 && errno == EINTR);
	/* As long as it is not reaped its group's number is nobody else's. */
	kill(-process->pid, SIGKILL);
	do
		r = waitpid(process->pid, status, 0);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return error_set_errno(
			err, ERROR_INTERNAL, "cannot wait for process %ld", (long)process->pid);
	if (process->pidfd >= 0)
		close(process->pidfd);
	*process = PROCESS_NONE;
	return 0;
}

void process_kill(struct process *process)
{
	struct error ignored;
	int status;
	if (process->pid < 0)
		return;
	kill(-process->pid, SIGKILL);
	kill(process->pid, SIGKILL); /* where it has not become a group yet */
	if (process_wait(process, &status, &ignored) < 0)
		*process = PROCESS_NONE;
}
