#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guestfs/helper.h"
#include "guestfs/messages.h"
#include "layer/layer.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "vm/ring.h"

#define READ_CHUNK (256u * 1024)
#define BLOCK 4096u
#define MESSAGES_MAX (64u * 1024) /* bytes of one line */
#define TAR_NAME "the files of the disk"

struct run {
	struct helper helper;
	struct report *report;
	struct buffer pending; /* of the tar, to be written at `written` */
	uint64_t written;
	struct buffer line; /* of the messages, as far as it came */
	struct ring log;
	int tar;
	bool done;
	bool failed;
	struct error error; /* what it told; for failed */
};

static void cleanup_run_fn(struct run **run)
{
	helper_end(&(*run)->helper);
	buffer_free(&(*run)->pending);
	buffer_free(&(*run)->line);
	cleanup_close_fn(&(*run)->tar);
	free(*run);
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

/* Writes what is pending but for blocks of zeros. all: else the last, partial block waits. */
static int flush(struct run *run, bool all, struct error *err)
{
	size_t end = all ? run->pending.len : run->pending.len - run->pending.len % BLOCK;
	const uint8_t *data = run->pending.data;
	for (size_t at = 0; at < end;) {
		size_t n = 0;
		while (at + n < end &&
			!is_zero(data + at + n, end - at - n < BLOCK ? end - at - n : BLOCK))
			n += end - at - n < BLOCK ? end - at - n : BLOCK;
		if (n > 0) {
			int r = file_write_at(
				run->tar, data + at, n, run->written + at, TAR_NAME, err);
			if (r < 0)
				return r;
		}
		at += n;
		if (at < end)
			at += end - at < BLOCK ? end - at : BLOCK;
	}
	run->written += end;
	buffer_consume(&run->pending, end);
	return 0;
}

/* Reads what is there into a buffer. Returns 1 at the end, 0 before it. */
static int read_pipe(int *fd, struct buffer *to, struct error *err)
{
	ssize_t n = read(*fd, buffer_reserve(to, READ_CHUNK), READ_CHUNK);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		return error_set_errno(err, ERROR_INTERNAL, "cannot read from " HELPER_NAME);
	if (n > 0)
		to->len += (size_t)n;
	if (n == 0)
		close(steal_fd(fd));
	return n == 0;
}

static int on_tar(struct run *run, struct error *err)
{
	int end = read_pipe(&run->helper.tar, &run->pending, err);
	if (end < 0)
		return end;
	if (run->pending.len > LAYER_SIZE_MAX - run->written)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"its files, where holes count as zeros, take more than %llu bytes, the "
			"most that is read",
			(unsigned long long)LAYER_SIZE_MAX);
	return end || run->pending.len >= READ_CHUNK ? flush(run, end, err) : 0;
}

/* The kind that a word stands for; ERROR_INTERNAL where it is none. */
static enum error_kind kind_of(const char *word, size_t len)
{
	for (enum error_kind kind = ERROR_INTERNAL; kind <= ERROR_LIMIT; kind++) {
		const char *name = error_kind_name(kind);
		if (strlen(name) == len && memcmp(name, word, len) == 0)
			return kind;
	}
	return ERROR_INTERNAL;
}

static const char *after(const char *line, const char *prefix)
{
	size_t len = strlen(prefix);
	return strncmp(line, prefix, len) == 0 ? line + len : NULL;
}

/* A line of the helper's; what it may be is told in messages.h. */
static int take_line(struct run *run, const char *line, struct error *err)
{
	const char *text;
	if (strcmp(line, "done") == 0) {
		run->done = true;
	} else if ((text = after(line, "note ")) != NULL) {
		if (run->report != NULL)
			report_note(run->report, "%s", text);
	} else if ((text = after(line, "warning ")) != NULL) {
		if (run->report != NULL)
			report_warning(run->report, "%s", text);
	} else if ((text = after(line, "error ")) != NULL) {
		size_t len = strcspn(text, " ");
		run->failed = true;
		error_set(&run->error, kind_of(text, len), EIO, "%s",
			text[len] != '\0' ? text + len + 1 : "");
	} else {
		return error_set(err, ERROR_INTERNAL, EPROTO,
			HELPER_NAME " said \"%.100s\", which is no message", line);
	}
	return 0;
}

static int on_messages(struct run *run, struct error *err)
{
	int end = read_pipe(&run->helper.messages, &run->line, err);
	if (end < 0)
		return end;
	for (;;) {
		const uint8_t *newline =
			run->line.len == 0 ? NULL : memchr(run->line.data, '\n', run->line.len);
		if (newline == NULL)
			break;
		size_t len = (size_t)(newline - run->line.data);
		cleanup_free char *line = xstrndup((const char *)run->line.data, len);
		buffer_consume(&run->line, len + 1);
		int r = take_line(run, line, err);
		if (r < 0)
			return r;
	}
	return run->line.len <= MESSAGES_MAX
		       ? 0
		       : error_set(err, ERROR_INTERNAL, EPROTO,
				 HELPER_NAME " sent a line of more than %u bytes", MESSAGES_MAX);
}

static int on_log(struct run *run, struct error *err)
{
	cleanup_buffer struct buffer bytes = {0};
	int end = read_pipe(&run->helper.log, &bytes, err);
	if (bytes.len != 0)
		ring_add(&run->log, bytes.data, bytes.len);
	return end < 0 ? end : 0;
}

/* Until the helper has closed its ends of all pipes. */
static int follow(struct run *run, struct error *err)
{
	struct helper *h = &run->helper;
	while (h->tar >= 0 || h->messages >= 0 || h->log >= 0) {
		struct pollfd fds[] = {
			{.fd = h->tar, .events = POLLIN},
			{.fd = h->messages, .events = POLLIN},
			{.fd = h->log, .events = POLLIN},
			{.fd = interrupt_fd(), .events = POLLIN},
		};
		if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL, "poll");
		int r = interrupt_check(err);
		if (r == 0 && fds[0].revents != 0)
			r = on_tar(run, err);
		if (r == 0 && fds[1].revents != 0)
			r = on_messages(run, err);
		if (r == 0 && fds[2].revents != 0)
			r = on_log(run, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What libguestfs and its programs said tells more than the error of the call that failed. */
static void show_log(struct run *run)
{
	cleanup_free char *tail = ring_tail(&run->log, 5);
	if (run->report == NULL)
		return;
	for (char *line = tail, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
		report_note(run->report, HELPER_NAME ": %.*s", (int)(end - line), line);
}

/* How it ended, in words. */
static int judge(struct run *run, int status, struct error *err)
{
	if (!run->failed && run->done && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (run->failed) {
		if (run->error.kind == ERROR_INTERNAL)
			show_log(run);
		*err = run->error;
		return -EIO;
	}
	cleanup_free char *last = ring_tail(&run->log, 1);
	last[strcspn(last, "\n")] = '\0';
	/* The dynamic linker's status for a library that is not there. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return error_set(err, ERROR_INTERNAL, ENOENT,
			HELPER_NAME " cannot start: %s; install libguestfs-tools", last);
	show_log(run);
	return error_set(err, ERROR_INTERNAL, EIO, HELPER_NAME " %s %d before it had read the disk",
		WIFSIGNALED(status) ? "was ended by signal" : "left with status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

int helper_run(const struct helper_job *job, int *tar, uint64_t *size, struct report *report,
	struct error *err)
{
	__attribute__((cleanup(cleanup_run_fn))) struct run *run = xcalloc(1, sizeof(*run));
	int status;
	run->helper = HELPER_NONE;
	run->report = report;
	run->tar = file_temporary(err);
	if (run->tar < 0)
		return run->tar;
	int r = helper_start(job, &run->helper, err);
	if (r == 0)
		r = follow(run, err);
	if (r < 0)
		return r;
	r = child_wait(&run->helper.child, &status, err);
	if (r < 0)
		return error_wrap(err, r, HELPER_NAME);
	r = judge(run, status, err);
	if (r < 0)
		return r;
	if (ftruncate(run->tar, (off_t)run->written) < 0)
		return error_set_errno(err, ERROR_OUTPUT, TAR_NAME);
	*size = run->written;
	*tar = steal_fd(&run->tar);
	return 0;
}
