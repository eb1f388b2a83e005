#include "unpack/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/memory.h"
#include "unpack/attributes.h"
#include "unpack/whiteout.h"

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

static bool begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Takes out of text what says nothing, and what ".." takes back. */
static int clean(char *text, struct error *err)
{
	char *to = text;
	for (char *at = text; *at != '\0';) {
		size_t len = strcspn(at, "/");
		size_t rest = strspn(at + len, "/");
		bool is_dot = len == 1 && at[0] == '.';
		bool is_up = len == 2 && at[0] == '.' && at[1] == '.';
		if (is_up && to == text)
			return error_set(
				err, ERROR_INPUT, EINVAL, "its \"..\" leads out of the image");
		if (is_up) {
			do
				to--;
			while (to > text && *to != '/');
		} else if (len > 0 && !is_dot) {
			if (to != text)
				*to++ = '/';
			memmove(to, at, len);
			to += len;
			if (to - text >= PATH_MAX + (ptrdiff_t)strlen(WHITEOUT_PREFIX))
				return error_set(err, ERROR_INPUT, ENAMETOOLONG,
					"a path of over %d bytes", PATH_MAX - 1);
		}
		at += len + rest;
	}
	*to = '\0';
	return 0;
}

/* The prefix of a whiteout does not count. */
static int check_lengths(const struct member_name *name, struct error *err)
{
	size_t len = strlen(name->dir) + (*name->dir != '\0') + strlen(name->last);
	size_t spared = begins_with(name->last, WHITEOUT_PREFIX) ? strlen(WHITEOUT_PREFIX) : 0;
	size_t longest = strlen(name->last) - spared;
	for (const char *at = name->dir; *at != '\0'; at += strspn(at, "/")) {
		size_t part = strcspn(at, "/");
		longest = part > longest ? part : longest;
		at += part;
	}
	if (len - spared >= PATH_MAX)
		return error_set(err, ERROR_INPUT, ENAMETOOLONG,
			"a path of %zu bytes; the most is %d", len, PATH_MAX - 1);
	if (longest > NAME_BYTES_MAX)
		return error_set(err, ERROR_INPUT, ENAMETOOLONG,
			"a part of the name has %zu bytes; the most is %d", longest,
			NAME_BYTES_MAX);
	return 0;
}

/* What a last part means; of the parts above it `is_note` tells, and `is_linked` of that above. */
static enum name_kind find_kind(const char *last, bool is_note, bool is_linked)
{
	if (is_linked && !begins_with(last, WHITEOUT_PREFIX))
		return NAME_LINKED;
	if (is_note)
		return NAME_NOTE;
	if (strcmp(last, WHITEOUT_OPAQUE) == 0)
		return NAME_OPAQUE;
	if (begins_with(last, AUFS_PREFIX))
		return NAME_NOTE;
	return begins_with(last, WHITEOUT_PREFIX) ? NAME_WHITEOUT : NAME_ENTRY;
}

/* Whether a part of dir is aufs's own. *linked: only the last one is, and it holds linked files. */
static bool has_note(const char *dir, bool *linked)
{
	const char *found = begins_with(dir, AUFS_PREFIX) ? dir : strstr(dir, "/" AUFS_PREFIX);
	*linked = false;
	if (found == NULL)
		return false;
	found += *found == '/';
	*linked = strcmp(found, AUFS_LINKED) == 0;
	return true;
}

int member_name_parse(const char *path, struct member_name *out, struct error *err)
{
	char *text = xstrdup(path);
	bool is_linked;
	*out = (struct member_name){.text = text, .dir = "", .last = text};
	int r = clean(text, err);
	if (r < 0)
		return r;
	char *slash = strrchr(text, '/');
	if (slash != NULL) {
		*slash = '\0';
		out->dir = text;
		out->last = slash + 1;
	}
	bool is_note = has_note(out->dir, &is_linked);
	out->kind = find_kind(out->last, is_note, is_linked);
	return check_lengths(out, err);
}

void member_name_free(struct member_name *name)
{
	free(name->text);
}

/* Opens a directory below root. resolve: RESOLVE_ flags besides RESOLVE_IN_ROOT. */
static int open_below(int root, const char *path, uint64_t resolve)
{
	const struct open_how how = {
		.flags = DIRECTORY_FLAGS,
		.resolve = RESOLVE_IN_ROOT | resolve,
	};
	return (int)syscall(SYS_openat2, root, *path != '\0' ? path : ".", &how, sizeof(how));
}

/* Takes over fd. */
static int take(int fd, const char *path, struct directory *out, struct error *err)
{
	struct stat st;
	*out = (struct directory){.fd = fd, .path = NULL};
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_GUEST, "\"%s\" cannot be looked at", path);
	out->ino = st.st_ino;
	out->mtime = st.st_mtim;
	return 0;
}

/* Puts the mtime back and closes the descriptor, where there is one. */
static int put_back(struct directory *directory, struct error *err)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, directory->mtime};
	int r = 0;
	if (directory->fd >= 0 && futimens(directory->fd, times) < 0)
		r = error_set_errno(err, ERROR_GUEST, "a directory's time cannot be put back");
	cleanup_close_fn(&directory->fd);
	directory->fd = -1;
	return r;
}

static int make_missing(struct directory *in, const char *name, struct error *err)
{
	const struct attributes plain = {.mode = S_IFDIR | 0755};
	if (mkdirat(in->fd, name, 0700) < 0)
		return error_set_errno(err, ERROR_GUEST, "\"%s\" cannot be made", name);
	cleanup_close int fd = openat(in->fd, name, DIRECTORY_FLAGS | O_NOFOLLOW);
	if (fd < 0)
		return error_set_errno(err, ERROR_GUEST, "\"%s\" cannot be opened", name);
	return attributes_set(&plain, fd, err);
}

/* Why what is above an entry is no directory, and leads to none. */
static int no_directory(const char *path, bool missing, struct error *err)
{
	return error_set(err, ERROR_INPUT, ENOTDIR, "its parent \"%s\" is %s", path,
		missing ? "a symlink to what is not there, or in a loop" : "no directory");
}

/* The next directory on the way: the part of path that ends at `end`. */
static int step(const struct place_root *root, const char *path, size_t end, enum place_mode mode,
	struct directory *at, struct error *err)
{
	char prefix[PATH_MAX];
	memcpy(prefix, path, end);
	prefix[end] = '\0';
	const char *slash = strrchr(prefix, '/');
	const char *name = slash != NULL ? slash + 1 : prefix;
	if (mode == PLACE_LOWER && names_have(&root->barred, at->ino, name))
		return put_back(at, err);
	int fd = openat(at->fd, name, DIRECTORY_FLAGS | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT && mode == PLACE_MAKE) {
		int r = make_missing(at, name, err);
		if (r < 0)
			return r;
		fd = openat(at->fd, name, DIRECTORY_FLAGS | O_NOFOLLOW);
	} else if (fd < 0 && (errno == ELOOP || errno == ENOTDIR)) {
		fd = open_below(root->fd, prefix, 0);
		if (fd < 0 && mode == PLACE_MAKE &&
			(errno == ENOENT || errno == ELOOP || errno == ENOTDIR))
			return no_directory(prefix, errno != ENOTDIR, err);
	}
	bool missing = errno == ENOENT || errno == ELOOP || errno == ENOTDIR;
	if (fd < 0 && !(missing && mode != PLACE_MAKE))
		return error_set_errno(err, ERROR_GUEST, "\"%s\" cannot be opened", prefix);
	int r = put_back(at, err);
	if (r < 0 || fd < 0) {
		cleanup_close_fn(&fd);
		return r;
	}
	return take(fd, path, at, err);
}

/* Part by part: something is missing, or a symlink. */
static int walk(const struct place_root *root, const char *path, enum place_mode mode,
	struct directory *out, struct error *err)
{
	int fd = open_below(root->fd, "", 0);
	if (fd < 0)
		return error_set_errno(err, ERROR_GUEST, "the root cannot be opened");
	int r = take(fd, path, out, err);
	for (size_t end = 0; r == 0 && out->fd >= 0 && path[end] != '\0';) {
		end += path[end] == '/';
		end += strcspn(path + end, "/");
		r = step(root, path, end, mode, out, err);
	}
	return r;
}

int directory_open(const struct place_root *root, const char *path, enum place_mode mode,
	struct directory *out, struct error *err)
{
	*out = DIRECTORY_NONE;
	int fd = open_below(root->fd, path, RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return walk(root, path, mode, out, err);
	int r = take(fd, path, out, err);
	if (r == 0)
		out->path = xstrdup(path);
	return r;
}

int directory_leave(struct directory *directory, struct error *err)
{
	int r = put_back(directory, err);
	directory_close(directory);
	return r;
}

void directory_close(struct directory *directory)
{
	cleanup_close_fn(&directory->fd);
	directory->fd = -1;
	free(steal_ptr(&directory->path));
}
