#include "support/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/interrupt.h"
#include "support/memory.h"

#define PIECE_MAX 65536

/* After POLLOUT a terminal has room for one byte at least; pty(7) and the like for more. */
#define PIECE_TERMINAL 1

int outlet_unblock(int fd, int access, bool *owned, size_t *piece)
{
	char path[64];
	struct stat st;
	*owned = false;
	*piece = PIECE_MAX;
	if (fstat(fd, &st) < 0 || (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode)))
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (again >= 0) {
		*owned = true;
		return again;
	}
	*piece = S_ISFIFO(st.st_mode) ? PIPE_BUF : PIECE_TERMINAL;
	return fd;
}

void outlet_open(struct outlet *outlet, int fd)
{
	struct stat st;
	*outlet = (struct outlet){.fd = -1};
	if (fd < 0)
		return;
	outlet->fd = outlet_unblock(fd, O_WRONLY, &outlet->owned, &outlet->piece);
	outlet->socket = fstat(outlet->fd, &st) == 0 && S_ISSOCK(st.st_mode);
	outlet->terminal = isatty(outlet->fd);
}

bool outlet_same(const struct outlet *a, const struct outlet *b)
{
	struct stat st_a, st_b;
	return a->fd >= 0 && b->fd >= 0 && fstat(a->fd, &st_a) == 0 && fstat(b->fd, &st_b) == 0 &&
	       st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

static ssize_t write_piece(const struct outlet *outlet, const uint8_t *data, size_t len)
{
	if (len > outlet->piece)
		len = outlet->piece;
	return outlet->socket ? send(outlet->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL)
			      : write(outlet->fd, data, len);
}

static bool has_room(const struct outlet *outlet)
{
	struct pollfd fd = {.fd = outlet->fd, .events = POLLOUT};
	return poll(&fd, 1, 0) > 0;
}

/* Small pieces are many: all that there is room for now. */
int outlet_write(struct outlet *outlet, struct buffer *bytes, struct error *err)
{
	size_t most = bytes->len < PIECE_MAX ? bytes->len : PIECE_MAX;
	size_t done = 0;
	ssize_t n = 0;
	if (outlet->fd < 0 || outlet->gone) {
		bytes->len = 0;
		return 0;
	}
	do {
		n = write_piece(outlet, bytes->data + done, most - done);
		done += n > 0 ? (size_t)n : 0;
	} while (n > 0 && done < most && has_room(outlet));
	int code = errno;
	buffer_consume(bytes, done);
	if (n >= 0 || code == EAGAIN || code == EINTR)
		return 0;
	/* Bytes that cannot be written now never can: nobody is to wait for them. */
	outlet->gone = true;
	bytes->len = 0;
	if (code == EPIPE || code == ECONNRESET || (code == EIO && outlet->terminal))
		return 0;
	errno = code;
	return error_set_errno(err, ERROR_OUTPUT, "the job's output cannot be written");
}

int outlet_send(const struct outlet *outlet, const void *data, size_t len, const char *name,
	struct error *err)
{
	size_t done = 0;
	while (done < len) {
		int r = interrupt_wait(outlet->fd, POLLOUT, name, err);
		if (r < 0)
			return r;
		ssize_t n = write_piece(outlet, (const uint8_t *)data + done, len - done);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return error_set_errno(err, ERROR_OUTPUT, "%s: cannot write", name);
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

void outlet_close(struct outlet *outlet)
{
	if (outlet->owned)
		close(outlet->fd);
	*outlet = (struct outlet){.fd = -1};
}
