#include "support/fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "support/interrupt.h"
#include "support/memory.h"

#define COPY_CHUNK (1u << 20)

int file_read_at(
	int fd, void *data, size_t len, uint64_t offset, const char *name, struct error *err)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(fd, (char *)data + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_INPUT, "%s: cannot read", name);
		if (n == 0)
			return error_set(err, ERROR_INPUT, EIO,
				"%s: ends at byte %llu, where %zu more were expected", name,
				(unsigned long long)(offset + done), len - done);
		done += (size_t)n;
	}
	return 0;
}

int file_write_at(
	int fd, const void *data, size_t len, uint64_t offset, const char *name, struct error *err)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n =
			pwrite(fd, (const char *)data + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_OUTPUT, "%s: cannot write", name);
		done += (size_t)n;
	}
	return 0;
}

int file_write(int fd, const void *data, size_t len, const char *name, struct error *err)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = write(fd, (const char *)data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_OUTPUT, "%s: cannot write", name);
		done += (size_t)n;
	}
	return 0;
}

static int copy_through_buffer(int from, uint64_t from_offset, int to, uint64_t to_offset,
	uint64_t len, const char *name, struct error *err)
{
	cleanup_free char *chunk = xmalloc(COPY_CHUNK);
	while (len > 0) {
		size_t n = len < COPY_CHUNK ? (size_t)len : COPY_CHUNK;
		int r = file_read_at(from, chunk, n, from_offset, name, err);
		if (r < 0)
			return r;
		r = file_write_at(to, chunk, n, to_offset, name, err);
		if (r < 0)
			return r;
		from_offset += n;
		to_offset += n;
		len -= n;
	}
	return 0;
}

int file_copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t len,
	const char *name, struct error *err)
{
	while (len > 0) {
		off_t in = (off_t)from_offset;
		off_t out = (off_t)to_offset;
		size_t n = len < (1u << 30) ? (size_t)len : (1u << 30);
		ssize_t done = copy_file_range(from, &in, to, &out, n, 0);
		if (done < 0 && errno == EINTR)
			continue;
		/* Not for this pair of files, or an unexpected end: the plain way tells which. */
		if (done <= 0)
			return copy_through_buffer(
				from, from_offset, to, to_offset, len, name, err);
		from_offset += (uint64_t)done;
		to_offset += (uint64_t)done;
		len -= (uint64_t)done;
	}
	return 0;
}

/* Whether reading may wait for somebody: a pipe, a terminal. */
static bool may_wait(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && !S_ISREG(st.st_mode);
}

int file_read_all(int fd, size_t max, struct buffer *out, const char *name, struct error *err)
{
	size_t total = 0;
	bool waits = may_wait(fd);
	for (;;) {
		int r = waits ? interrupt_wait(fd, POLLIN, name, err) : 0;
		if (r < 0)
			return r;
		char *to = buffer_reserve(out, 65536);
		ssize_t n = read(fd, to, 65536);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_INPUT, "%s: cannot read", name);
		if (n == 0)
			return 0;
		total += (size_t)n;
		if (total > max)
			return error_set(err, ERROR_INPUT, EFBIG,
				"%s: is larger than the limit of %zu bytes", name, max);
		out->len += (size_t)n;
	}
}

int file_open(const char *path, enum error_kind kind, struct error *err)
{
	struct stat st;
	cleanup_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, kind, "%s: cannot open", path);
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return steal_fd(&fd);
	/* Readable once it has had a writer: at its end too, when the writer is gone. */
	int r = S_ISFIFO(st.st_mode) ? interrupt_wait(fd, POLLIN, path, err) : 0;
	if (r == 0 && fcntl(fd, F_SETFL, 0) < 0)
		r = error_set_errno(err, kind, "%s: cannot open", path);
	return r < 0 ? r : steal_fd(&fd);
}
