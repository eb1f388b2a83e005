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
#define LAYER_NAME "the new layer"

/* What the child tells its parent in the end, in one write to a pipe. */
struct answer {
	int code;
	struct error err;
	struct changes changes;
	struct layer_info info;
	struct disk_sockets sockets;
};

/* Ends of pipes from the child to its parent. */
struct link {
	int answer;
	int progress; /* a byte for every piece of the layer that is in its file */
};

static void link_close(struct link *link)
{
	cleanup_close_fn(&link->answer);
	cleanup_close_fn(&link->progress);
}
#define cleanup_link __attribute__((cleanup(link_close)))

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
static int filter_calls(
	const struct confined_diff *what, const struct link *to_parent, struct error *err)
{
	const int writable[] = {what->layer, what->list, to_parent->answer, to_parent->progress};
	const struct confinement allowed = {
		.calls = calls,
		.call_count = sizeof(calls) / sizeof(calls[0]),
		.writable = writable,
		.writable_count = sizeof(writable) / sizeof(writable[0]),
		.memory = true,
	};
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

/* A layer that the parent reads while it is written. */
struct told_sink {
	struct layer_sink base;
	int layer, progress;
};

static int write_told(struct layer_sink *base, const void *data, size_t len, struct error *err)
{
	struct told_sink *sink = (struct told_sink *)base;
	int r = file_write(sink->layer, data, len, LAYER_NAME, err);
	return r < 0 ? r : file_write(sink->progress, "", 1, "the pipe to the parent", err);
}

/* How the layer is written. to_parent: NULL where there is no child. */
static int write_layer(struct tree *tree, const struct confined_diff *what,
	const struct link *to_parent, struct layer_info *info, struct error *err)
{
	if (to_parent == NULL)
		return layer_write(tree, what->layer, what->layer_options, info, err);
	struct told_sink sink = {.base = {.write = write_told},
		.layer = what->layer,
		.progress = to_parent->progress};
	return layer_write_to(tree, &sink.base, what->layer_options, info, err);
}

static int write_changes(struct tree *tree, const struct confined_diff *what,
	const struct link *to_parent, struct changes *changes, struct layer_info *info,
	struct error *err)
{
	int r = what->settle != NULL ? what->settle(what->context, tree, err) : 0;
	if (r == 0)
		r = changes_mark(tree, changes, err);
	if (r == 0 && what->layer >= 0)
		r = write_layer(tree, what, to_parent, info, err);
	if (r == 0 && what->list >= 0)
		r = write_list(tree, what->list, err);
	return r;
}

int confined_diff_write(struct tree *tree, const struct confined_diff *what,
	struct changes *changes, struct layer_info *info, struct error *err)
{
	return write_changes(tree, what, NULL, changes, info, err);
}

/* Closes all descriptors but those that are read or written here. */
static int close_others(const struct tree *tree, const struct confined_diff *what,
	const struct link *to_parent, struct error *err)
{
	const int own[] = {to_parent->answer, to_parent->progress, what->base, what->overlay,
		what->layer, what->list};
	cleanup_buffer struct buffer kept = {0};
	buffer_add(&kept, own, sizeof(own));
	tree_add_fds(tree, &kept);
	return confine_files((int *)(void *)kept.data, kept.len / sizeof(own[0]), err);
}

static int diff(struct tree *tree, const struct confined_diff *what, const struct link *to_parent,
	struct answer *answer)
{
	struct error *err = &answer->err;
	int r = disk_reread_own(tree, what->base, what->overlay, &answer->sockets, err);
	return r < 0 ? r
		     : write_changes(tree, what, to_parent, &answer->changes, &answer->info, err);
}

/* What the child does; it does not come back. */
static void __attribute__((noreturn)) run_child(struct tree *tree, const struct confined_diff *what,
	pid_t parent, const struct link *to_parent)
{
	struct answer answer = {0};
	struct error *err = &answer.err;
	answer.code = confine_process(parent, err);
	if (answer.code == 0)
		answer.code = confine_size(LAYER_SIZE_MAX, err);
	if (answer.code == 0)
		answer.code = close_others(tree, what, to_parent, err);
	if (answer.code == 0)
		answer.code = filter_calls(what, to_parent, err);
	if (answer.code == 0)
		answer.code = diff(tree, what, to_parent, &answer);
	ssize_t n = write(to_parent->answer, &answer, sizeof(answer));
	_exit(n == (ssize_t)sizeof(answer) ? 0 : 125);
}

/*
 * The layer's digest and size as they are in the file, whatever the child says. The file is read
 * while the child writes to it: it can only add to its end (confine.h), so that what was read
 * stays as it is.
 */
struct follower {
	int layer; /* -1: there is none */
	struct hasher *hasher;
	uint8_t *chunk;
	uint64_t size; /* of what was hashed */
};

static void follower_open(struct follower *follower, int layer)
{
	*follower = (struct follower){
		.layer = layer, .hasher = hasher_new(), .chunk = xmalloc(HASH_CHUNK)};
}

static void follower_close(struct follower *follower)
{
	hasher_free(follower->hasher);
	free(follower->chunk);
}
#define cleanup_follower __attribute__((cleanup(follower_close)))

/* Hashes all that is in the file by now. */
static int follow(struct follower *follower, struct error *err)
{
	while (follower->layer >= 0) {
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		ssize_t n =
			pread(follower->layer, follower->chunk, HASH_CHUNK, (off_t)follower->size);
		if (n < 0)
			return error_set_errno(err, ERROR_INTERNAL, "cannot read " LAYER_NAME);
		if (n == 0)
			break;
		hasher_add(follower->hasher, follower->chunk, (size_t)n);
		follower->size += (uint64_t)n;
	}
	return 0;
}

/* Takes what there is to read from the child. Returns how much; 0 at the end. */
static ssize_t take(int fd, void *data, size_t size, struct error *err)
{
	ssize_t n;
	do
		n = read(fd, data, size);
	while (n < 0 && errno == EINTR);
	return n >= 0 ? n
		      : error_set_errno(err, ERROR_INTERNAL,
				"cannot read from the reader of the guest's disk");
}

/*
 * Waits for the child's answer or its end, or a signal to us, and hashes meanwhile what the child
 * has written. Returns 1 where all of the answer came, 0 where the child ended before.
 */
static int await(struct link *from_child, struct follower *follower, struct answer *answer,
	struct error *err)
{
	char bytes[4096];
	size_t have = 0;
	while (have < sizeof(*answer)) {
		struct pollfd fds[] = {{.fd = from_child->answer, .events = POLLIN},
			{.fd = from_child->progress, .events = POLLIN},
			{.fd = interrupt_fd(), .events = POLLIN}};
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL,
				"cannot wait for the reader of the guest's disk");
		int r = interrupt_check(err);
		ssize_t n = 1;
		if (r == 0 && fds[1].revents != 0) {
			n = take(from_child->progress, bytes, sizeof(bytes), err);
			r = n < 0 ? (int)n : follow(follower, err);
			if (n == 0)
				close(steal_fd(&from_child->progress));
		}
		if (r < 0)
			return r;
		if (fds[0].revents == 0)
			continue;
		n = take(from_child->answer, (char *)answer + have, sizeof(*answer) - have, err);
		if (n <= 0)
			return (int)n;
		have += (size_t)n;
	}
	return 1;
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

static int make_pipe(int *reader, int *writer, struct error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pipe");
	*reader = ends[0];
	*writer = ends[1];
	return 0;
}

/* Returns the child's process ID. */
static pid_t start_child(struct tree *tree, const struct confined_diff *what,
	struct link *from_child, struct error *err)
{
	cleanup_link struct link to_parent = {-1, -1};
	int r = make_pipe(&from_child->answer, &to_parent.answer, err);
	if (r == 0)
		r = make_pipe(&from_child->progress, &to_parent.progress, err);
	if (r < 0)
		return r;
	pid_t parent = getpid();
	pid_t child = fork();
	if (child < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot start the reader of the disk");
	if (child == 0)
		run_child(tree, what, parent, &to_parent);
	return child;
}

int confined_diff(struct tree *tree, const struct confined_diff *what, struct changes *changes,
	struct layer_info *info, struct error *err)
{
	cleanup_link struct link from_child = {-1, -1};
	cleanup_follower struct follower follower;
	struct answer answer = {0};
	int status = 0;
	follower_open(&follower, what->layer);
	pid_t child = start_child(tree, what, &from_child, err);
	if (child < 0)
		return child;
	int r = await(&from_child, &follower, &answer, err);
	/*
	 * Whatever it has answered, it may go on without end, and to write too. One that has left
	 * keeps its status: that is set before its descriptors are closed.
	 */
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
	for (size_t i = 0; i < DISK_SOCKETS_NAMED; i++)
		answer.sockets.paths[i][DISK_SOCKET_PATH_MAX - 1] = '\0';
	if (what->sockets != NULL)
		*what->sockets = answer.sockets;
	if (what->layer < 0)
		return 0;
	r = follow(&follower, err);
	if (r < 0)
		return r;
	*info = answer.info;
	info->size = follower.size;
	info->diff_id = hasher_finish(follower.hasher);
	return 0;
}
