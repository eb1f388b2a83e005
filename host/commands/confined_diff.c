#include "commands/confined_diff.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands/diff_list.h"
#include "disk/disk.h"
#include "support/confine.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define HASH_CHUNK (1u << 20)

/* What the child tells its parent, in one write to a pipe. */
struct answer {
	int code;
	struct error err;
	struct changes changes;
	struct layer_info info;
};

/*
 * All that reading, comparing and sorting (glibc's qsort asks sysinfo) takes. Nothing here makes a
 * descriptor, so that a number always means the file that it meant at the start.
 */
static const int calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(pread64),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(sysinfo),
};

/* Leaves the calls that the work takes, and no file to write to but these. */
static int filter_calls(const struct confined_diff *what, int answer, struct error *err)
{
	const int writable[] = {what->layer, what->list, answer};
	const struct confinement allowed = {
		.calls = calls,
		.call_count = sizeof(calls) / sizeof(calls[0]),
		.writable = writable,
		.writable_count = sizeof(writable) / sizeof(writable[0]),
		.memory = true,
	};
	/* libcrypto reads its configuration at the first use, which the filter would end. */
	digest_of("", 0);
	return confine_calls(&allowed, err);
}

/* Through memory, so that nothing but file_write writes to the descriptor. */
static int write_list(struct tree *tree, int fd, struct error *err)
{
	static const char name[] = "the list of changes";
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	if (out == NULL)
		return error_set_errno(err, ERROR_INTERNAL, "%s: cannot be made", name);
	int r = diff_list(tree, false, out, name, err);
	fclose(out);
	return r < 0 ? r : file_write(fd, text, len, name, err);
}

int confined_diff_write(struct tree *tree, const struct confined_diff *what,
	struct changes *changes, struct layer_info *info, struct error *err)
{
	int r = what->settle != NULL ? what->settle(what->context, tree, err) : 0;
	if (r == 0)
		r = changes_mark(tree, changes, err);
	if (r == 0 && what->layer >= 0)
		r = layer_write(tree, what->layer, what->layer_options, info, err);
	if (r == 0 && what->list >= 0)
		r = write_list(tree, what->list, err);
	return r;
}

/* Closes all descriptors but those that are read or written here. */
static int close_others(
	const struct tree *tree, const struct confined_diff *what, int answer, struct error *err)
{
	const int own[] = {answer, what->base, what->overlay, what->layer, what->list};
	cleanup_buffer struct buffer kept = {0};
	buffer_add(&kept, own, sizeof(own));
	tree_add_fds(tree, &kept);
	return confine_files((int *)(void *)kept.data, kept.len / sizeof(own[0]), err);
}

static int diff(struct tree *tree, const struct confined_diff *what, struct answer *answer)
{
	struct error *err = &answer->err;
	int r = disk_reread_own(tree, what->base, what->overlay, err);
	return r < 0 ? r : confined_diff_write(tree, what, &answer->changes, &answer->info, err);
}

/* What the child does; it does not come back. */
static void __attribute__((noreturn))
run_child(struct tree *tree, const struct confined_diff *what, pid_t parent, int to_parent)
{
	struct answer answer = {0};
	struct error *err = &answer.err;
	answer.code = confine_process(parent, err);
	if (answer.code == 0)
		answer.code = close_others(tree, what, to_parent, err);
	if (answer.code == 0)
		answer.code = filter_calls(what, to_parent, err);
	if (answer.code == 0)
		answer.code = diff(tree, what, &answer);
	ssize_t n = write(to_parent, &answer, sizeof(answer));
	_exit(n == (ssize_t)sizeof(answer) ? 0 : 125);
}

/*
 * Waits for the child's answer or its end, or a signal to us. Returns 1 where all of the answer
 * came, 0 where the child ended before.
 */
static int await(int answer_fd, struct answer *answer, struct error *err)
{
	size_t have = 0;
	while (have < sizeof(*answer)) {
		struct pollfd fds[] = {{.fd = answer_fd, .events = POLLIN},
			{.fd = interrupt_fd(), .events = POLLIN}};
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL,
				"cannot wait for the reader of the guest's disk");
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		if (fds[0].revents == 0)
			continue;
		ssize_t n = read(answer_fd, (char *)answer + have, sizeof(*answer) - have);
		if (n < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL,
				"cannot read from the reader of the guest's disk");
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

int confined_diff(struct tree *tree, const struct confined_diff *what, struct changes *changes,
	struct layer_info *info, struct error *err)
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
	if (child == 0)
		run_child(tree, what, parent, ends[1]);
	close(ends[1]);

	struct answer answer = {0};
	int status = 0;
	int r = await(from_child, &answer, err);
	if (r < 0)
		kill(child, SIGKILL);
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
	if (what->layer < 0)
		return 0;
	*info = answer.info;
	return hash_layer(what->layer, info, err);
}
