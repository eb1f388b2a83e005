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

#define HASH_CHUNK (1u << 20)

/* What the child tells its parent, in one write to a pipe. */
struct answer {
	int code;
	struct error err;
	struct changes changes;
	struct layer_info info;
};

/* All that reading, comparing and sorting (glibc's qsort asks sysinfo) takes. */
static const int allowed_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(pread64),
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

/* writable: the two descriptors that may be written to. */
static int add_rules(scmp_filter_ctx filter, const int writable[2])
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
	for (size_t i = 0; i < 2; i++) {
		int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1,
			SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)writable[i]));
		if (r < 0)
			return r;
	}
	/* New memory is never executable. */
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
		SCMP_A2(SCMP_CMP_MASKED_EQ, 4 /* PROT_EXEC */, 0));
}

static int confine(const int writable[2], struct error *err)
{
	if (!FILTER_CALLS)
		return 0;
	/* libcrypto reads its configuration at the first use, which the filter would end. */
	digest_of("", 0);
	__attribute__((cleanup(filter_cleanup))) scmp_filter_ctx filter =
		seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (filter == NULL)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "cannot make a seccomp filter");
	int r = add_rules(filter, writable);
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
	int r = disk_reread(tree, base_fd, overlay_fd, err);
	if (r == 0)
		r = changes_mark(tree, &answer->changes, err);
	if (r == 0)
		r = layer_write(tree, layer_fd, options, &answer->info, err);
	return r;
}

/*
 * Waits for the child's answer or its end; a signal to us ends it. Returns 1 where all of the
 * answer came, 0 where it ended before.
 */
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
	return have == sizeof(*answer);
}

/*
 * The child's error in words of ours: it has met the hostile disk, and is believed no kind that
 * would let the build look like a success or the script's own failure.
 */
static int repeat_error(struct answer *answer, struct error *err)
{
	enum error_kind kind = answer->err.kind;
	answer->err.message[sizeof(answer->err.message) - 1] = '\0';
	if (kind != ERROR_INPUT && kind != ERROR_LIMIT && kind != ERROR_OUTPUT &&
		kind != ERROR_INTERNAL)
		kind = ERROR_GUEST;
	int code = answer->code < 0 && answer->code > -4096 ? -answer->code : EIO;
	return error_set(err, kind, code, "%s", answer->err.message);
}

/* The layer's digest and size as they are in the file, whatever the child says. */
static int hash_layer(int layer_fd, struct layer_info *info, struct error *err)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	cleanup_free uint8_t *chunk = xmalloc(HASH_CHUNK);
	info->size = 0;
	for (;;) {
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		ssize_t n = pread(layer_fd, chunk, HASH_CHUNK, (off_t)info->size);
		if (n < 0)
			return error_set_errno(err, ERROR_INTERNAL, "cannot read the new layer");
		if (n == 0)
			break;
		hasher_add(hasher, chunk, (size_t)n);
		info->size += (uint64_t)n;
	}
	info->diff_id = hasher_finish(hasher);
	return 0;
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
		answer.code = confine((const int[]){layer_fd, ends[1]}, &answer.err);
		if (answer.code == 0)
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
	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, ERROR_GUEST, EIO,
			"reading the guest's disk failed: the confined reader %s %d",
			WIFSIGNALED(status) ? "was ended by signal" : "left with status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (answer.code != 0)
		return repeat_error(&answer, err);
	*changes = answer.changes;
	*info = answer.info;
	return hash_layer(layer_fd, info, err);
}
