#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guestfs/helper.h"
#include "guestfs/messages.h"
#include "support/memory.h"
#include "vm/vm.h"

#define ARGUMENTS_MAX 8

/* Where the helper is: the caller frees *path. */
static int find(char **path, struct error *err)
{
	char program[PATH_MAX];
	const char *chosen = getenv("LAYERVM_LIBEXEC_DIR");
	cleanup_free char *candidate = NULL;
	if (chosen != NULL && *chosen != '\0') {
		candidate = xasprintf("%s/" HELPER_NAME, chosen);
	} else {
		ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
		if (n < 0)
			return error_set_errno(
				err, ERROR_INTERNAL, "/proc/self/exe: cannot be read");
		program[n] = '\0';
		char *slash = strrchr(program, '/');
		candidate = xasprintf("%.*s/../libexec/layervm/" HELPER_NAME,
			slash != NULL ? (int)(slash - program) : 0, program);
	}
	if (access(candidate, X_OK) < 0)
		return error_set(err, ERROR_INTERNAL, ENOENT,
			"reading a disk by libguestfs takes the helper %s, which is not there: "
			"install libguestfs-dev and libguestfs-tools, build layervm again, and "
			"install it; or name the helper's folder in LAYERVM_LIBEXEC_DIR",
			candidate);
	*path = steal_ptr(&candidate);
	return 0;
}

/* Puts the descriptors where they belong: first all out of the way, then each to its number. */
static int place_fds(const int fds[static HELPER_FD_END])
{
	int moved[HELPER_FD_END];
	for (int i = 0; i < HELPER_FD_END; i++) {
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HELPER_FD_END);
		if (moved[i] < 0)
			return -1;
	}
	for (int i = 0; i < HELPER_FD_END; i++) {
		if (dup2(moved[i], i) < 0)
			return -1;
	}
	return close_range(HELPER_FD_END, ~0U, 0);
}

/* Runs between fork and exec: system calls only. */
static void __attribute__((noreturn))
run_child(const char *path, char *const *argv, const int fds[static HELPER_FD_END], pid_t parent)
{
	static const char words[] = "error internal " HELPER_NAME ": cannot be executed\n";
	sigset_t none;
	sigemptyset(&none);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent || setpgid(0, 0) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(1);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (place_fds(fds) < 0)
		_exit(1);
	execv(path, argv);
	ssize_t n = write(HELPER_FD_MESSAGES, words, sizeof(words) - 1);
	_exit(n < 0 ? 1 : 127);
}

/* A pipe whose ends are closed by whoever has them: reading, writing. */
static int make_pipe(int *reading, int *writing, struct error *err)
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

static struct helper steal_helper(struct helper *helper)
{
	struct helper value = *helper;
	*helper = HELPER_NONE;
	return value;
}

int helper_start(const struct helper_job *job, struct helper *helper, struct error *err)
{
	cleanup_free char *path = NULL;
	cleanup_close int tar = -1;
	cleanup_close int messages = -1;
	cleanup_close int log = -1;
	const char *argv[ARGUMENTS_MAX] = {HELPER_NAME, vm_kvm_usable(NULL) ? "kvm" : "tcg"};
	*helper = HELPER_NONE;
	for (size_t i = 0; i + 3 < ARGUMENTS_MAX && job->arguments[i] != NULL; i++)
		argv[i + 2] = job->arguments[i];
	int r = find(&path, err);
	if (r < 0)
		return r;
	cleanup_helper struct helper started = HELPER_NONE;
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return error_set_errno(err, ERROR_INTERNAL, "/dev/null");
	r = make_pipe(&started.tar, &tar, err);
	if (r == 0)
		r = make_pipe(&started.messages, &messages, err);
	if (r == 0)
		r = make_pipe(&started.log, &log, err);
	if (r < 0)
		return r;

	const int fds[HELPER_FD_END] = {
		[STDIN_FILENO] = null,
		[STDOUT_FILENO] = log,
		[STDERR_FILENO] = log,
		[HELPER_FD_TAR] = tar,
		[HELPER_FD_MESSAGES] = messages,
		[HELPER_FD_BASE] = job->base >= 0 ? job->base : null,
		[HELPER_FD_OVERLAY] = job->overlay >= 0 ? job->overlay : null,
	};
	/* A caller may have left it ignored: then waiting would fail. */
	signal(SIGCHLD, SIG_DFL);
	pid_t parent = getpid();
	started.pid = fork();
	if (started.pid < 0)
		return error_set_errno(err, ERROR_INTERNAL, "%s: cannot start a process", path);
	if (started.pid == 0)
		run_child(path, (char *const *)(uintptr_t)argv, fds, parent);
	*helper = steal_helper(&started);
	return 0;
}

void helper_end(struct helper *helper)
{
	if (helper->pid > 0) {
		kill(helper->pid, SIGTERM);
		while (waitpid(helper->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	cleanup_close_fn(&helper->tar);
	cleanup_close_fn(&helper->messages);
	cleanup_close_fn(&helper->log);
	*helper = HELPER_NONE;
}
