#include "support/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "support/interrupt.h"
#include "support/memory.h"

#define OPEN_FLAGS (O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* Digits and nothing else. */
static int parse_number(const char *text)
{
	char *end;
	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	long n = strtol(text, &end, 10);
	return errno != 0 || *end != '\0' || n > INT_MAX ? -1 : (int)n;
}

int stream_number(const char *path)
{
	static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
	static const char *const names[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
	if (strcmp(path, "-") == 0)
		return STDOUT_FILENO;
	for (int i = 0; i < 3; i++) {
		if (strcmp(path, names[i]) == 0)
			return i;
	}
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		size_t len = strlen(folders[i]);
		if (strncmp(path, folders[i], len) == 0)
			return parse_number(path + len);
	}
	return -1;
}

int stream_copy(int number, const char *path, struct error *err)
{
	int flags = fcntl(number, F_GETFL);
	int own = fcntl(number, F_GETFD);
	/* What comes through an exec has no FD_CLOEXEC, and what this program opened has it. */
	if (flags < 0 || own < 0 || (own & FD_CLOEXEC) != 0)
		return error_set(err, ERROR_OUTPUT, EBADF,
			"%s: this program was started without a descriptor %d", path, number);
	if ((flags & O_ACCMODE) == O_RDONLY)
		return error_set(err, ERROR_OUTPUT, EBADF, "%s: is open for reading only", path);
	int fd = fcntl(number, F_DUPFD_CLOEXEC, 3);
	return fd >= 0 ? fd
		       : error_set_errno(err, ERROR_INTERNAL, "%s: cannot copy a descriptor", path);
}

static bool has_reader(int fd)
{
	struct pollfd fds = {.fd = fd, .events = POLLOUT};
	return poll(&fds, 1, 0) >= 0 && (fds.revents & POLLERR) == 0;
}

/* Waits for the next time that the FIFO is opened. */
static int await_open(int watch, const char *path, struct error *err)
{
	char events[4096];
	int r = interrupt_wait(watch, POLLIN, path, err);
	if (r == 0 && read(watch, events, sizeof(events)) < 0 && errno != EAGAIN && errno != EINTR)
		r = error_set_errno(err, ERROR_INTERNAL, "%s: cannot be watched", path);
	return r;
}

/*
 * Opens a FIFO without a reader, which open(2) does where there is one, if only for a moment; then
 * waits for the reader. A reader that comes opens the FIFO at once, since there is a writer.
 */
static int open_unread(const char *path, struct error *err)
{
	cleanup_close int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch < 0 || inotify_add_watch(watch, path, IN_OPEN) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot be watched", path);
	cleanup_close int both = open(path, O_RDWR | OPEN_FLAGS);
	if (both < 0)
		return error_set_errno(err, ERROR_OUTPUT,
			"%s: has no reader, and cannot be opened to wait for one", path);
	cleanup_close int fd = open(path, O_WRONLY | OPEN_FLAGS);
	if (fd < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot open", path);
	close(steal_fd(&both));
	while (!has_reader(fd)) {
		int r = await_open(watch, path, err);
		if (r < 0)
			return r;
	}
	return steal_fd(&fd);
}

int stream_open(const char *path, const struct stat *st, struct error *err)
{
	if (S_ISSOCK(st->st_mode))
		return error_set(err, ERROR_OUTPUT, ENXIO,
			"%s: is a socket, which cannot be opened; \"-\" is standard output, for a "
			"program that connects to it",
			path);
	int fd = open(path, O_WRONLY | OPEN_FLAGS);
	if (fd < 0 && errno == ENXIO && S_ISFIFO(st->st_mode))
		return open_unread(path, err);
	return fd >= 0 ? fd : error_set_errno(err, ERROR_OUTPUT, "%s: cannot open", path);
}
