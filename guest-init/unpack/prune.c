#include "unpack/prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
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
};

struct walk {
	int fd; /* of the last level's directory */
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

/* Sorts a name into those that go at once and those to be gone into. */
static int sort_name(struct walk *w, struct level *level, const struct dirent *entry,
	struct buffer *gone, struct error *err)
{
	const char *name = entry->d_name;
	bool directory;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	int r = is_directory(w->fd, entry, &directory, err);
	if (r == 0)
		buffer_add(directory ? &level->names : gone, name, strlen(name) + 1);
	return r;
}

static int read_names(struct walk *w, struct level *level, struct buffer *gone, struct error *err)
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
		r = sort_name(w, level, entry, gone, err);
	}
	closedir(stream);
	return r;
}

/* Comes to a directory: what is none in it goes at once. */
static int enter(struct walk *w, int fd, struct error *err)
{
	cleanup_buffer struct buffer gone = {0};
	cleanup_close_fn(&w->fd);
	w->fd = fd;
	w->levels = array_grow(w->levels, w->count, &w->capacity, sizeof(*w->levels));
	struct level *level = &w->levels[w->count++];
	*level = (struct level){0};
	int r = read_names(w, level, &gone, err);
	for (size_t at = 0; r == 0 && at < gone.len;) {
		const char *name = (const char *)gone.data + at;
		r = unlink_name(w->fd, name, err);
		at += strlen(name) + 1;
	}
	return r;
}

static int descend(struct walk *w, struct error *err)
{
	struct level *level = &w->levels[w->count - 1];
	const char *name = (const char *)level->names.data + level->next;
	level->current = level->next;
	level->next += strlen(name) + 1;
	int fd = openat(w->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? failed(name, "opened", err) : enter(w, fd, err);
}

/* Leaves a directory that is empty, and removes it unless it is the one to be emptied. */
static int ascend(struct walk *w, struct error *err)
{
	buffer_free(&w->levels[w->count - 1].names);
	if (--w->count == 0)
		return 0;
	int up = openat(w->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (up < 0)
		return failed("..", "opened", err);
	close(w->fd);
	w->fd = up;
	const struct level *level = &w->levels[w->count - 1];
	const char *name = (const char *)level->names.data + level->current;
	return unlinkat(up, name, AT_REMOVEDIR) < 0 ? failed(name, "removed", err) : 0;
}

/* Takes over fd. */
static int walk(struct walk *w, int fd, struct error *err)
{
	int r = enter(w, fd, err);
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
	int r = walk(&w, fd, err);
	if (r == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0)
		return failed(name, "removed", err);
	return r;
}

int prune_below(int dir, struct error *err)
{
	cleanup_walk struct walk w = {.fd = -1};
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? failed(".", "opened", err) : walk(&w, fd, err);
}
