#include "hostdir/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "hostdir/dirstack.h"
#include "support/buffer.h"
#include "support/memory.h"
#include "tree/tree.h"

/* As the kernel's limit on symlinks in one path (MAXSYMLINKS). */
#define FOLLOWED_MAX 40

struct scan_dir {
	char *text;         /* its names, each with its NUL */
	const char **names; /* sorted */
	size_t count;
	size_t at;       /* the next name */
	size_t path_len; /* of its path in scan->path */
	bool followed;
	struct statx st;
};

struct scan {
	unsigned flags;
	struct dirstack stack;
	struct scan_dir *dirs; /* as many as the stack has levels */
	size_t count;
	size_t capacity;
	size_t followed; /* how many of the levels were entered through symlinks */
	struct buffer path;
	bool enter; /* the entry given last is a directory to enter */
	bool enter_followed;
	struct statx enter_st;
};

static void set_path(struct scan *scan, size_t len, const char *name)
{
	scan->path.len = len;
	if (name != NULL)
		buffer_printf(&scan->path, "/%s", name);
	buffer_add(&scan->path, "", 1);
	scan->path.len--;
}

static const char *path_of(const struct scan *scan)
{
	return (const char *)scan->path.data;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void free_dir(struct scan_dir *dir)
{
	free(dir->text);
	free(dir->names);
}

static int add_name(
	struct buffer *text, const struct dirent *d, const char *path, struct error *err)
{
	size_t len = strlen(d->d_name);
	if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
		return 0;
	if (len == 0 || len > TREE_NAME_MAX)
		return error_set(err, ERROR_LIMIT, ENAMETOOLONG,
			"%s: holds a name of %zu bytes; an image's have 1 to %d", path, len,
			TREE_NAME_MAX);
	buffer_add(text, d->d_name, len + 1);
	return 1;
}

static void cleanup_dir_fn(DIR **stream)
{
	if (*stream != NULL)
		closedir(*stream);
}

/* Reads the names of the folder that fd stands for into dir. */
static int read_names(int fd, const char *path, struct scan_dir *dir, struct error *err)
{
	cleanup_buffer struct buffer text = {0};
	cleanup_close int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	__attribute__((cleanup(cleanup_dir_fn))) DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
	if (stream == NULL)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot read the folder", path);
	(void)steal_fd(&copy);
	rewinddir(stream); /* the position is shared with fd, which may have been read before */
	for (;;) {
		errno = 0;
		const struct dirent *d = readdir(stream);
		if (d == NULL && errno != 0)
			return error_set_errno(
				err, ERROR_INPUT, "%s: cannot read the folder", path);
		if (d == NULL)
			break;
		int r = add_name(&text, d, path, err);
		if (r < 0)
			return r;
		dir->count += (size_t)r;
	}
	dir->names = xcalloc(dir->count, sizeof(char *));
	dir->text = buffer_steal_text(&text);
	const char *name = dir->text;
	for (size_t i = 0; i < dir->count; i++) {
		dir->names[i] = name;
		name += strlen(name) + 1;
	}
	qsort(dir->names, dir->count, sizeof(char *), compare_names);
	return 0;
}

/* Makes a directory the last level. fd: taken over. scan->path is its path. */
static int push_dir(
	struct scan *scan, int fd, const struct statx *st, bool followed, struct error *err)
{
	scan->dirs = array_grow(scan->dirs, scan->count, &scan->capacity, sizeof(*scan->dirs));
	struct scan_dir *dir = &scan->dirs[scan->count];
	*dir = (struct scan_dir){.path_len = scan->path.len, .followed = followed, .st = *st};
	int r = read_names(fd, path_of(scan), dir, err);
	if (r < 0)
		close(fd);
	else
		r = dirstack_push(&scan->stack, fd, followed, err);
	if (r < 0) {
		free_dir(dir);
		return r;
	}
	scan->count++;
	scan->followed += followed;
	return 0;
}

int scan_open(int fd, const char *path, unsigned flags, struct scan **out, struct error *err)
{
	cleanup_scan struct scan *scan = xcalloc(1, sizeof(*scan));
	struct statx st = {0};
	scan->flags = flags;
	size_t len = strlen(path);
	while (len > 0 && path[len - 1] == '/')
		len--;
	buffer_add(&scan->path, path, len);
	set_path(scan, len, NULL);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot open", path);
	int r = push_dir(scan, copy, &st, false, err);
	if (r == 0)
		*out = steal_ptr(&scan);
	return r;
}

/* Adds the owner's bits to a file of ours that lacks some of them. */
static void force_mode(int dir, const char *name, const struct statx *st, mode_t bits)
{
	mode_t mode = st->stx_mode & 07777;
	if ((mode & bits) != bits && fchmodat(dir, name, mode | bits, AT_SYMLINK_NOFOLLOW) < 0)
		return; /* the opening that follows says what is wrong */
}

static bool same_file(const struct statx *a, const struct stat *b)
{
	return makedev(a->stx_dev_major, a->stx_dev_minor) == b->st_dev && a->stx_ino == b->st_ino;
}

static int enter(struct scan *scan, struct error *err)
{
	const struct scan_dir *top = &scan->dirs[scan->count - 1];
	const char *name = top->names[top->at - 1];
	int dir = dirstack_fd(&scan->stack);
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	scan->enter = false;
	if (!scan->enter_followed)
		flags |= O_NOFOLLOW;
	if (scan->flags & SCAN_FORCE)
		force_mode(dir, name, &scan->enter_st, S_IRWXU);
	cleanup_close int fd = openat(dir, name, flags);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot open", path_of(scan));
	if (!same_file(&scan->enter_st, &st))
		return error_set(err, ERROR_INPUT, ESTALE,
			"%s: was replaced while it was being read", path_of(scan));
	if (scan->enter_followed && dirstack_holds(&scan->stack, st.st_dev, st.st_ino))
		return error_set(err, ERROR_INPUT, ELOOP,
			"%s: the symlink leads to a folder that it is in, so following it would "
			"not end; set keepContentsDirlinks to keep symlinks",
			path_of(scan));
	if (scan->enter_followed && scan->followed >= FOLLOWED_MAX)
		return error_set(err, ERROR_INPUT, ELOOP,
			"%s: more than %d symlinks to folders lead here, one through the other; "
			"set keepContentsDirlinks to keep symlinks",
			path_of(scan), FOLLOWED_MAX);
	return push_dir(scan, steal_fd(&fd), &scan->enter_st, scan->enter_followed, err);
}

static int leave(struct scan *scan, struct scan_entry *entry, struct error *err)
{
	struct scan_dir *dir = &scan->dirs[scan->count - 1];
	size_t path_len = dir->path_len;
	*entry = (struct scan_entry){
		.event = SCAN_LEAVE,
		.followed = dir->followed,
		.flags = scan->flags,
		.st = dir->st,
	};
	scan->followed -= dir->followed;
	free_dir(dir);
	scan->count--;
	const struct scan_dir *top = &scan->dirs[scan->count - 1];
	set_path(scan, top->path_len, NULL);
	int r = dirstack_pop(&scan->stack, path_of(scan), err);
	if (r < 0)
		return r;
	set_path(scan, top->path_len, top->names[top->at - 1]);
	scan->path.len = path_len;
	entry->depth = scan->count - 1;
	entry->dir = dirstack_fd(&scan->stack);
	entry->name = top->names[top->at - 1];
	entry->path = path_of(scan);
	return 1;
}

static int examine(struct scan_entry *entry, struct error *err)
{
	static const unsigned mask = STATX_BASIC_STATS | STATX_BTIME;
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
	if (statx(entry->dir, entry->name, flags, mask, &entry->st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot examine", entry->path);
	if ((entry->flags & SCAN_FOLLOW) && S_ISLNK(entry->st.stx_mode)) {
		/* One that leads nowhere, or to what is no directory, stays a symlink. */
		struct statx st;
		if (statx(entry->dir, entry->name, 0, mask, &st) == 0 && S_ISDIR(st.stx_mode)) {
			entry->st = st;
			entry->followed = true;
		}
	}
	entry->is_mount = (entry->flags & SCAN_ONE_MOUNT) &&
			  (entry->st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
	return 0;
}

int scan_lookup(
	int dir, const char *name, const char *path, struct scan_entry *entry, struct error *err)
{
	*entry = (struct scan_entry){.event = SCAN_ENTRY, .dir = dir, .name = name, .path = path};
	return examine(entry, err);
}

int scan_open_parent(const char *path, char **name, struct error *err)
{
	cleanup_free char *real = realpath(path, NULL);
	if (real == NULL)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot examine", path);
	char *slash = strrchr(real, '/');
	*slash = '\0';
	int dir = open(slash != real ? real : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot open its folder", path);
	*name = xstrdup(slash + 1);
	return dir;
}

int scan_next(struct scan *scan, struct scan_entry *entry, struct error *err)
{
	if (scan->enter) {
		int r = enter(scan, err);
		if (r < 0)
			return r;
	}
	struct scan_dir *top = &scan->dirs[scan->count - 1];
	if (top->at == top->count)
		return scan->count > 1 ? leave(scan, entry, err) : 0;
	const char *name = top->names[top->at++];
	set_path(scan, top->path_len, name);
	*entry = (struct scan_entry){
		.event = SCAN_ENTRY,
		.depth = scan->count - 1,
		.dir = dirstack_fd(&scan->stack),
		.name = name,
		.path = path_of(scan),
		.flags = scan->flags,
	};
	int r = examine(entry, err);
	if (r < 0)
		return r;
	if (S_ISDIR(entry->st.stx_mode) && !entry->is_mount) {
		scan->enter = true;
		scan->enter_followed = entry->followed;
		scan->enter_st = entry->st;
	}
	return 1;
}

void scan_skip(struct scan *scan)
{
	scan->enter = false;
}

int scan_open_file(const struct scan_entry *entry, struct error *err)
{
	struct stat st;
	if (entry->flags & SCAN_FORCE)
		force_mode(entry->dir, entry->name, &entry->st, S_IRUSR);
	/* O_NONBLOCK: should it be a fifo by now, nothing waits for a writer. */
	cleanup_close int fd = openat(
		entry->dir, entry->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot open", entry->path);
	if (!S_ISREG(st.st_mode) || !same_file(&entry->st, &st))
		return error_set(err, ERROR_INPUT, ESTALE,
			"%s: was replaced while it was being read", entry->path);
	return steal_fd(&fd);
}

void scan_free(struct scan *scan)
{
	if (scan == NULL)
		return;
	for (size_t i = 0; i < scan->count; i++)
		free_dir(&scan->dirs[i]);
	free(scan->dirs);
	dirstack_free(&scan->stack);
	buffer_free(&scan->path);
	free(scan);
}
