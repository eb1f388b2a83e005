#include "support/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/memory.h"
#include "support/outlet.h"
#include "support/path.h"
#include "support/stream.h"
#include "support/temporary.h"

#define NAMES_MAX 100

struct output {
	int fd;       /* what is written to */
	int stream;   /* where the spool goes; -1: there is no spool */
	char *path;   /* for messages, and of a file */
	char *hidden; /* of a file: the name while it is being written, NULL: none yet */
	bool is_stream;
};

bool output_is_stdout(const char *path)
{
	return stream_number(path) == STDOUT_FILENO;
}

static int open_file(struct output *o, struct error *err)
{
	cleanup_free char *folder = path_folder(o->path);
	o->fd = file_temporary_in(folder, 0666, &o->hidden);
	return o->fd >= 0 ? 0
			  : error_set_errno(
				    err, ERROR_OUTPUT, "%s: cannot write to its folder", o->path);
}

/* Opens the stream that a path names. Returns 1 where it is one, 0 where it is a file. */
static int open_stream(struct output *o, struct error *err)
{
	struct stat st;
	int number = stream_number(o->path);
	if (number < 0 && (stat(o->path, &st) < 0 || S_ISREG(st.st_mode)))
		return 0;
	if (number < 0 && S_ISDIR(st.st_mode))
		return error_set(err, ERROR_OUTPUT, EISDIR,
			"%s: is a folder; name the file to write", o->path);
	o->is_stream = true;
	o->stream =
		number >= 0 ? stream_copy(number, o->path, err) : stream_open(o->path, &st, err);
	return o->stream < 0 ? o->stream : 1;
}

static struct output *output_new(const char *path)
{
	struct output *o = xcalloc(1, sizeof(*o));
	o->path = xstrdup(path);
	o->fd = o->stream = -1;
	return o;
}

int output_open(const char *path, struct output **out, struct error *err)
{
	cleanup_output struct output *o = output_new(path);
	int r = open_stream(o, err);
	if (r > 0) {
		o->fd = file_temporary(err);
		r = o->fd < 0 ? o->fd : 0;
	} else if (r == 0) {
		r = open_file(o, err);
	}
	if (r == 0)
		*out = steal_ptr(&o);
	return r;
}

int output_open_direct(const char *path, struct output **out, struct error *err)
{
	cleanup_output struct output *o = output_new(path);
	int r = open_stream(o, err);
	if (r > 0)
		o->fd = steal_fd(&o->stream);
	else if (r == 0)
		r = open_file(o, err);
	if (r < 0)
		return r;
	*out = steal_ptr(&o);
	return 0;
}

int output_open_file(const char *path, struct output **out, struct error *err)
{
	struct stat st;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return error_set(err, ERROR_OUTPUT, EINVAL,
			"%s: is no regular file, and is not replaced by one", path);
	cleanup_output struct output *o = output_new(path);
	int r = open_file(o, err);
	if (r == 0)
		*out = steal_ptr(&o);
	return r;
}

bool output_is_stream(const struct output *out)
{
	return out->is_stream;
}

int output_fd(const struct output *out)
{
	return out->fd;
}

/* Gives an unnamed file a hidden name in the folder of its path, for the rename to come. */
static int link_hidden(struct output *out, struct error *err)
{
	char from[64];
	cleanup_free char *folder = path_folder(out->path);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", out->fd);
	for (unsigned i = 0; i < NAMES_MAX; i++) {
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

static int send_spool(struct output *out, struct error *err)
{
	const char *name = output_is_stdout(out->path) ? "standard output" : out->path;
	char chunk[65536];
	uint64_t offset = 0;
	struct outlet outlet;
	int r = 0;
	outlet_open(&outlet, out->stream);
	while (r == 0) {
		ssize_t n = pread(out->fd, chunk, sizeof(chunk), (off_t)offset);
		if (n < 0)
			r = error_set_errno(err, ERROR_OUTPUT, "cannot read the spooled output");
		if (n <= 0)
			break;
		r = outlet_send(&outlet, chunk, (size_t)n, name, err);
		offset += (uint64_t)n;
	}
	outlet_close(&outlet);
	return r;
}

int output_commit(struct output *out, struct error *err)
{
	if (out->is_stream)
		return out->stream >= 0 ? send_spool(out, err) : 0;
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
	cleanup_close_fn(&out->fd);
	cleanup_close_fn(&out->stream);
	free(out->hidden);
	free(out->path);
	free(out);
}
