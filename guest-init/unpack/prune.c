#include "unpack/prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/buffer.h"
#include "support/memory.h"

/*
 * A directory on the way down. The way up is "..": a chain of directories may be longer than
 * what paths or descriptors allow, and nobody else changes anything here.
 */
struct level {
	struct buffer names; /* of directories to go into, each with its NUL */
	size_t next;         /* the one after that which was gone into */
	size_t current;
	bool remove; /* everything below, and then the directory itself */
	struct timespec mtime;
};

struct walk {
	int fd; /* of the last level's directory */
	struct marks *marks;
	struct level *levels;
	size_t count;
	size_t capacity;
};

static void walk_free(struct walk *w)
{
	cleanup_close_fn(&w->fd);
	for (size_t i = 0; i < w->count; i++)
		buffer_free(&w->levels[i].names);
	free(w->levels);
}
#define cleanup_walk __attribute__((cleanup(walk_free)))

static int failed(const char *name, const char *what, struct error *err)
{
	return error_set_errno(err, ERROR_GUEST, "\"%s\" cannot be %s", name, what);
}

static int unlink_name(int dir, const char *name, struct error *err)
{
	return unlinkat(dir, name, 0) < 0 ? failed(name, "removed", err) : 0;
}

static int is_directory(int dir, const struct dirent *entry, bool *out, struct error *err)
{
	struct stat st;
	*out = entry->d_type == DT_DIR;
	if (entry->d_type != DT_UNKNOWN)
		return 0;
	if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(entry->d_name, "looked at", err);
	*out = S_ISDIR(st.st_mode);
	return 0;
}

/* Sorts a name of the directory `ino` into those that stay, go at once, or are to be gone into. */
static int sort_name(struct walk *w, struct level *level, uint64_t ino, const struct dirent *entry,
	struct buffer *gone, struct error *err)
{
	const char *name = entry->d_name;
	bool directory;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	int r = is_directory(w->fd, entry, &directory, err);
	if (r < 0)
		return r;
	bool fresh = !level->remove && marks_have(w->marks, directory ? entry->d_ino : ino,
					       directory ? "" : name, MARK_FRESH);
	if (!directory && !fresh)
		buffer_add(gone, name, strlen(name) + 1);
	if (directory && !(fresh && marks_have(w->marks, entry->d_ino, "", MARK_OPAQUE)))
		buffer_add(&level->names, name, strlen(name) + 1);
	return 0;
}

static int read_names(
	struct walk *w, struct level *level, uint64_t ino, struct buffer *gone, struct error *err)
{
	int fd = openat(w->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	int r = 0;
	if (stream == NULL) {
		r = failed(".", "opened", err);
		cleanup_close_fn(&fd);
		return r;
	}
	while (r == 0) {
		errno = 0;
		const struct dirent *entry = readdir(stream);
		if (entry == NULL && errno != 0)
			r = failed(".", "read", err);
		if (entry == NULL)
			break;
		r = sort_name(w, level, ino, entry, gone, err);
	}
	closedir(stream);
	return r;
}

/* Comes to a directory: what is none in it goes at once. */
static int enter(struct walk *w, int fd, bool remove, struct error *err)
{
	struct stat st;
	cleanup_buffer struct buffer gone = {0};
	cleanup_close_fn(&w->fd);
	w->fd = fd;
	if (fstat(fd, &st) < 0)
		return failed(".", "looked at", err);
	w->levels = array_grow(w->levels, w->count, &w->capacity, sizeof(*w->levels));
	struct level *level = &w->levels[w->count++];
	*level = (struct level){.remove = remove, .mtime = st.st_mtim};
	if (!remove)
		marks_add(w->marks, st.st_ino, "", MARK_OPAQUE);
	int r = read_names(w, level, st.st_ino, &gone, err);
	for (size_t at = 0; r == 0 && at < gone.len;) {
		const char *name = (const char *)gone.data + at;
		r = unlink_name(w->fd, name, err);
		at += strlen(name) + 1;
	}
	return r;
}

static int descend(struct walk *w, struct error *err)
{
	struct stat st;
	struct level *level = &w->levels[w->count - 1];
	const char *name = (const char *)level->names.data + level->next;
	level->current = level->next;
	level->next += strlen(name) + 1;
	int fd = openat(w->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int r = failed(name, "opened", err);
		cleanup_close_fn(&fd);
		return r;
	}
	bool remove = level->remove || !marks_have(w->marks, st.st_ino, "", MARK_FRESH);
	return enter(w, fd, remove, err);
}

/* Leaves a directory that is done with, and removes it if it is to go. */
static int ascend(struct walk *w, struct error *err)
{
	struct level *level = &w->levels[w->count - 1];
	bool remove = level->remove;
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, level->mtime};
	if (!remove && futimens(w->fd, times) < 0)
		return failed(".", "given its time again", err);
	buffer_free(&level->names);
	if (--w->count == 0)
		return 0;
	int up = openat(w->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (up < 0)
		return failed("..", "opened", err);
	close(w->fd);
	w->fd = up;
	level = &w->levels[w->count - 1];
	const char *name = (const char *)level->names.data + level->current;
	if (remove && unlinkat(up, name, AT_REMOVEDIR) < 0)
		return failed(name, "removed", err);
	return 0;
}

static int walk(struct walk *w, int fd, bool remove, struct error *err)
{
	int r = enter(w, fd, remove, err);
	while (r == 0 && w->count > 0) {
		const struct level *level = &w->levels[w->count - 1];
		r = level->next < level->names.len ? descend(w, err) : ascend(w, err);
	}
	return r;
}

int prune_remove(int dir, const char *name, struct error *err)
{
	cleanup_walk struct walk w = {.fd = -1};
	if (unlinkat(dir, name, 0) == 0)
		return 0;
	if (errno != EISDIR)
		return failed(name, "removed", err);
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return failed(name, "opened", err);
	int r = walk(&w, fd, true, err);
	if (r == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0)
		return failed(name, "removed", err);
	return r;
}

int prune_lower(int dir, struct marks *marks, struct error *err)
{
	cleanup_walk struct walk w = {.fd = -1, .marks = marks};
	struct stat st;
	if (fstat(dir, &st) < 0)
		return failed(".", "looked at", err);
	if (marks_have(marks, st.st_ino, "", MARK_OPAQUE))
		return 0;
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failed(".", "opened", err);
	return walk(&w, fd, false, err);
}
