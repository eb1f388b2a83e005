#include "support/fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "support/interrupt.h"
#include "support/memory.h"
#include "support/outlet.h"

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

/* A name in folder that nobody else has, for file systems without O_TMPFILE. */
static int open_named(const char *folder, char **name, struct error *err)
{
	*name = xasprintf("%s/.layervm-XXXXXX", folder);
	int fd = mkostemp(*name, O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(
			err, ERROR_OUTPUT, "%s: cannot make a temporary file", folder);
	return fd;
}

static int temporary_in(const char *folder, struct error *err)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return error_set_errno(
			err, ERROR_OUTPUT, "%s: cannot make a temporary file", folder);
	cleanup_free char *name = NULL;
	fd = open_named(folder, &name, err);
	if (fd >= 0)
		unlink(name);
	return fd;
}

int file_temporary(struct error *err)
{
	const char *folder = getenv("TMPDIR");
	if (folder == NULL || *folder == '\0')
		folder = "/var/tmp";
	return temporary_in(folder, err);
}

struct output {
	int fd;
	char *path;   /* NULL: standard output */
	char *hidden; /* the name while it is being written, NULL: none yet */
};

/* The folder part of a path, "." where it has none. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return xstrdup(".");
	if (slash == path)
		return xstrdup("/");
	return xstrndup(path, (size_t)(slash - path));
}

int output_open(const char *path, struct output **out, struct error *err)
{
	struct output *o = xcalloc(1, sizeof(*o));
	if (strcmp(path, "-") == 0) {
		o->fd = file_temporary(err);
	} else {
		struct stat st;
		if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
			free(o);
			return S_ISDIR(st.st_mode)
				       ? error_set(err, ERROR_OUTPUT, EISDIR,
						 "%s: is a folder; name the file to write", path)
				       : error_set(err, ERROR_OUTPUT, EINVAL,
						 "%s: is no regular file, and is not replaced by "
						 "one; \"-\" is standard output",
						 path);
		}
		cleanup_free char *folder = folder_of(path);
		o->path = xstrdup(path);
		o->fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
		if (o->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
			o->fd = open_named(folder, &o->hidden, err);
			if (o->fd >= 0) {
				mode_t mask = umask(0);
				umask(mask);
				fchmod(o->fd, 0666 & ~mask);
			}
		} else if (o->fd < 0) {
			error_set_errno(err, ERROR_OUTPUT, "%s: cannot write to its folder", path);
		}
	}
	if (o->fd < 0) {
		int r = -EIO;
		free(o->path);
		free(o->hidden);
		free(o);
		return r;
	}
	*out = o;
	return 0;
}

int output_fd(const struct output *out)
{
	return out->fd;
}

/* Gives an unnamed file a hidden name in the folder of its path, for the rename to come. */
static int link_hidden(struct output *out, struct error *err)
{
	char from[64];
	cleanup_free char *folder = folder_of(out->path);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", out->fd);
	for (unsigned i = 0; i < 100; i++) {
		cleanup_free char *name =
			xasprintf("%s/.layervm-%ld-%u", folder, (long)getpid(), i);
		if (linkat(AT_FDCWD, from, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0) {
			out->hidden = steal_ptr(&name);
			return 0;
		}
		if (errno != EEXIST)
			break;
	}
	return error_set_errno(err, ERROR_OUTPUT, "%s: cannot be given its name", out->path);
}

static int commit_to_stdout(struct output *out, struct error *err)
{
	char chunk[65536];
	uint64_t offset = 0;
	struct outlet outlet;
	int r = 0;
	outlet_open(&outlet, STDOUT_FILENO);
	while (r == 0) {
		ssize_t n = pread(out->fd, chunk, sizeof(chunk), (off_t)offset);
		if (n < 0)
			r = error_set_errno(err, ERROR_OUTPUT, "cannot read the spooled output");
		if (n <= 0)
			break;
		r = outlet_send(&outlet, chunk, (size_t)n, "standard output", err);
		offset += (uint64_t)n;
	}
	outlet_close(&outlet);
	return r;
}

int output_commit(struct output *out, struct error *err)
{
	if (out->path == NULL)
		return commit_to_stdout(out, err);
	if (fsync(out->fd) < 0)
		return error_set_errno(
			err, ERROR_OUTPUT, "%s: cannot flush to the disk", out->path);
	int r = out->hidden == NULL ? link_hidden(out, err) : 0;
	if (r < 0)
		return r;
	if (rename(out->hidden, out->path) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot be replaced", out->path);
	free(steal_ptr(&out->hidden));
	return 0;
}

void output_free(struct output *out)
{
	if (out == NULL)
		return;
	if (out->hidden != NULL)
		unlink(out->hidden);
	close(out->fd);
	free(out->hidden);
	free(out->path);
	free(out);
}
