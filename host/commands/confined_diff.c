#include "commands/confined_diff.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk/disk.h"
#include "support/interrupt.h"
#include "support/memory.h"

/* Sanitizers make calls of their own: a program that has them goes without the filter. */
#ifdef __SANITIZE_ADDRESS__
#define FILTER_CALLS 0
#else
#define FILTER_CALLS 1
#endif

/* What the child tells its parent, in one write to a pipe. */
struct answer {
	int code;
	struct error err;
	struct changes changes;
	struct layer_info info;
};

/* All that reading, comparing, sorting (glibc's qsort asks sysinfo) and writing takes. */
static const int allowed_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(pread64),
	SCMP_SYS(write),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(tgkill),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(sysinfo),
};

/* fcntl commands that copy or describe a descriptor. */
static const unsigned allowed_fcntl[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL};

static void filter_cleanup(scmp_filter_ctx *filter)
{
	if (*filter != NULL)
		seccomp_release(*filter);
}

static int add_rules(scmp_filter_ctx filter)
{
	for (size_t i = 0; i < sizeof(allowed_calls) / sizeof(allowed_calls[0]); i++) {
		int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < sizeof(allowed_fcntl) / sizeof(allowed_fcntl[0]); i++) {
		int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			SCMP_A1(SCMP_CMP_EQ, allowed_fcntl[i]));
		if (r < 0)
			return r;
	}
	/* New memory is never executable. */
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
		SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));
}

static int confine(struct error *err)
{
	if (!FILTER_CALLS)
		return 0;
	/* libcrypto reads its configuration at the first use, which the filter would end. */
	digest_of("", 0);
	__attribute__((cleanup(filter_cleanup))) scmp_filter_ctx filter =
		seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (filter == NULL)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "cannot make a seccomp filter");
	int r = add_rules(filter);
	if (r == 0)
		r = seccomp_load(filter);
	if (r < 0)
		return error_set(err, ERROR_INTERNAL, -r,
			"cannot confine the reader of the guest's disk: %s", strerror(-r));
	return 0;
}

static int diff(struct tree *tree, int base_fd, int overlay_fd, int layer_fd,
	const struct layer_options *options, struct answer *answer)
{
	struct error *err = &answer->err;
	int r = confine(err);
	if (r == 0)
		r = disk_reread(tree, base_fd, overlay_fd, err);
	if (r == 0)
		r = changes_mark(tree, &answer->changes, err);
	if (r == 0)
		r = layer_write(tree, layer_fd, options, &answer->info, err);
	return r;
}

/* Waits for the child's answer or its end; a signal to us ends it. */
static int await(int answer_fd, pid_t child, struct answer *answer, struct error *err)
{
	size_t have = 0;
	while (have < sizeof(*answer)) {
		struct pollfd fds[] = {{.fd = answer_fd, .events = POLLIN},
			{.fd = interrupt_fd(), .events = POLLIN}};
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL, "poll");
		int r = interrupt_check(err);
		if (r < 0) {
			kill(child, SIGKILL);
			return r;
		}
		if (fds[0].revents == 0)
			continue;
		ssize_t n = read(answer_fd, (char *)answer + have, sizeof(*answer) - have);
		if (n < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL, "cannot read from the child");
		if (n == 0)
			break;
		have += n > 0 ? (size_t)n : 0;
	}
	answer->err.message[sizeof(answer->err.message) - 1] = '\0';
	return have == sizeof(*answer) ? 0 : -EIO;
}

int confined_diff(struct tree *tree, int base_fd, int overlay_fd, int layer_fd,
	const struct layer_options *options, struct changes *changes, struct layer_info *info,
	struct error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pipe");
	cleanup_close int from_child = ends[0];
	pid_t parent = getpid();
	pid_t child = fork();
	if (child < 0) {
		close(ends[1]);
		return error_set_errno(err, ERROR_INTERNAL, "cannot start the reader of the disk");
	}
	if (child == 0) {
		struct answer answer = {0};
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(125);
		answer.code = diff(tree, base_fd, overlay_fd, layer_fd, options, &answer);
		ssize_t n = write(ends[1], &answer, sizeof(answer));
		_exit(n == (ssize_t)sizeof(answer) ? 0 : 125);
	}
	close(ends[1]);

	struct answer answer = {0};
	int status = 0;
	int r = await(from_child, child, &answer, err);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (r == -EIO)
		return error_set(err, ERROR_GUEST, EIO,
			"reading the guest's disk failed: the confined reader %s %d",
			WIFSIGNALED(status) ? "was ended by signal" : "left with status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (r < 0)
		return r;
	if (answer.code < 0) {
		*err = answer.err;
		return answer.code;
	}
	*changes = answer.changes;
	*info = answer.info;
	return 0;
}
