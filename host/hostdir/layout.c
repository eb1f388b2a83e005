#include "hostdir/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "hostdir/dirstack.h"
#include "hostdir/scan.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

/* So many bytes between two looks at the signals. */
#define COPY_STEP (16u << 20)
#define READ_CHUNK (1u << 20)

struct writer {
	struct tree *tree;
	struct layout *layout;
	struct dirstack stack;
	struct dentry *dir; /* the tree's directory that the stack's last level stands for */
	int root;
};

bool layout_has(const struct dentry *dentry)
{
	return dentry->inode != NULL && (dentry->flags & (DENTRY_WRITE | DENTRY_BELOW)) &&
	       !inode_is_device(dentry->inode);
}

uint32_t layout_mode(uint32_t mode)
{
	if (S_ISLNK(mode))
		return mode;
	return mode | S_IRUSR | S_IWUSR | (S_ISDIR(mode) ? (uint32_t)S_IXUSR : 0);
}

static int fail(const struct dentry *d, const char *what, struct error *err)
{
	int code = errno;
	cleanup_free char *path = tree_path(d);
	errno = code;
	return error_set_errno(
		err, ERROR_OUTPUT, "/%s: cannot %s in the working folder", path, what);
}

static void mtime_of(const struct inode *inode, struct timespec times[2])
{
	times[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
	times[1] =
		(struct timespec){.tv_sec = inode->mtime_sec, .tv_nsec = (long)inode->mtime_nsec};
}

/* The user.* attributes, then mode and mtime, in the order in which one does not undo another. */
static int set_metadata(struct writer *w, int fd, const struct dentry *d, struct error *err)
{
	const struct inode *inode = d->inode;
	struct timespec times[2];
	for (uint32_t i = 0; inode->xattrs != NULL && i < inode->xattrs->count; i++) {
		const struct xattr *x = &inode->xattrs->items[i];
		if (strncmp(x->name, "user.", 5) == 0 &&
			fsetxattr(fd, x->name, x->value, x->len, 0) < 0)
			w->layout->user_xattrs = false;
	}
	if (fchmod(fd, layout_mode(inode->mode) & 07777) < 0)
		return fail(d, "set the mode", err);
	mtime_of(inode, times);
	if (futimens(fd, times) < 0)
		return fail(d, "set the time", err);
	return 0;
}

/* Bytes of an inode into the file: from the source's descriptor, or through memory. */
static int write_range(const struct inode *inode, uint64_t logical, uint64_t offset, size_t len,
	int fd, const char *path, struct error *err)
{
	const struct source *source = inode->source;
	if (source->fd >= 0)
		return file_copy_range(
			source->fd, source->base + offset, fd, logical, len, path, err);
	cleanup_free uint8_t *chunk = xmalloc(READ_CHUNK);
	while (len > 0) {
		size_t n = len < READ_CHUNK ? len : READ_CHUNK;
		int r = inode_read(inode, chunk, n, logical, err);
		if (r == 0)
			r = file_write_at(fd, chunk, n, logical, path, err);
		if (r < 0)
			return r;
		logical += n;
		len -= n;
	}
	return 0;
}

static int write_data(const struct dentry *d, int fd, struct error *err)
{
	const struct inode *inode = d->inode;
	cleanup_free char *relative = tree_path(d);
	cleanup_free char *path = xasprintf("/%s", relative);
	errno = EFBIG;
	if (inode->size > INT64_MAX || ftruncate(fd, (off_t)inode->size) < 0)
		return fail(d, "make a file of its size", err);
	for (uint32_t i = 0; i < inode->segment_count; i++) {
		const struct segment *s = &inode->segments[i];
		for (uint64_t done = 0; done < s->length;) {
			uint64_t rest = s->length - done;
			size_t n = rest < COPY_STEP ? (size_t)rest : COPY_STEP;
			int r = interrupt_check(err);
			if (r == 0)
				r = write_range(inode, s->logical + done, s->offset + done, n, fd,
					path, err);
			if (r < 0)
				return r;
			done += n;
		}
	}
	return 0;
}

static int write_file(struct writer *w, const struct dentry *d, struct error *err)
{
	cleanup_close int fd = openat(dirstack_fd(&w->stack), d->name,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(d, "make the file", err);
	int r = write_data(d, fd, err);
	return r < 0 ? r : set_metadata(w, fd, d, err);
}

static int write_symlink(const struct writer *w, const struct dentry *d, struct error *err)
{
	int dir = dirstack_fd(&w->stack);
	struct timespec times[2];
	mtime_of(d->inode, times);
	if (symlinkat(d->inode->target, dir, d->name) < 0 ||
		utimensat(dir, d->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(d, "make the symlink", err);
	return 0;
}

static int write_fifo(const struct writer *w, const struct dentry *d, struct error *err)
{
	int dir = dirstack_fd(&w->stack);
	struct timespec times[2];
	mtime_of(d->inode, times);
	if (mkfifoat(dir, d->name, 0600) < 0 ||
		fchmodat(dir, d->name, layout_mode(d->inode->mode) & 07777, AT_SYMLINK_NOFOLLOW) <
			0 ||
		utimensat(dir, d->name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(d, "make the fifo", err);
	return 0;
}

/*
 * Opens the directory of a path below fd, in steps that are no longer than the kernel's paths.
 * *path: becomes the last part.
 */
static int open_parent(int fd, const char **path)
{
	static const size_t step_max = 2048; /* and a name of up to 255 bytes */
	cleanup_close int dir = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	while (dir >= 0) {
		const char *slash = strrchr(*path, '/');
		if (slash == NULL)
			break;
		if ((size_t)(slash - *path) > step_max)
			slash = strchr(*path + step_max, '/');
		cleanup_free char *part = xstrndup(*path, (size_t)(slash - *path));
		int next = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(dir);
		dir = next;
		*path = slash + 1;
	}
	return steal_fd(&dir);
}

static int write_link(const struct writer *w, const struct dentry *d, struct error *err)
{
	cleanup_free char *path = tree_path(d->inode->names);
	const char *name = path;
	cleanup_close int dir = open_parent(w->root, &name);
	if (dir < 0 || linkat(dir, name, dirstack_fd(&w->stack), d->name, 0) < 0)
		return fail(d, "make the hard link", err);
	return 0;
}

static int enter_dir(struct writer *w, struct dentry *d, struct error *err)
{
	int dir = dirstack_fd(&w->stack);
	if (mkdirat(dir, d->name, 0700) < 0)
		return fail(d, "make the directory", err);
	int fd = openat(dir, d->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(d, "open the directory", err);
	w->dir = d;
	return dirstack_push(&w->stack, fd, false, err);
}

/* A directory's mode and mtime come last: what is made in it changes them. */
static int leave_dir(struct writer *w, struct error *err)
{
	struct dentry *d = w->dir;
	int r = set_metadata(w, dirstack_fd(&w->stack), d, err);
	if (r < 0 || d->parent == NULL)
		return r;
	w->dir = d->parent;
	return dirstack_pop(&w->stack, d->parent->name, err);
}

static int write_entry(struct writer *w, struct dentry *d, struct error *err)
{
	if (inode_is_dir(d->inode))
		return enter_dir(w, d, err);
	if (d != d->inode->names)
		return write_link(w, d, err);
	if (S_ISREG(d->inode->mode))
		return write_file(w, d, err);
	return S_ISLNK(d->inode->mode) ? write_symlink(w, d, err) : write_fifo(w, d, err);
}

static int write_all(struct writer *w, struct error *err)
{
	struct dentry *root = w->dir;
	struct dentry *next;
	for (struct dentry *d = tree_next(root, root); d != NULL; d = next) {
		int r = interrupt_check(err);
		while (r == 0 && w->dir != d->parent)
			r = leave_dir(w, err);
		if (r < 0)
			return r;
		next = tree_next_over(root, d);
		if (!layout_has(d))
			continue;
		r = write_entry(w, d, err);
		if (r < 0)
			return r;
		if (w->dir == d)
			next = tree_next(root, d);
	}
	while (w->dir != root) {
		int r = leave_dir(w, err);
		if (r < 0)
			return r;
	}
	return leave_dir(w, err);
}

static void note_file(
	struct tree *tree, struct layout *layout, const struct statx *st, struct inode *inode)
{
	if (idmap_get(&layout->files, st) != NULL)
		return;
	struct laid_out *file = tree_alloc(tree, sizeof(*file));
	file->inode = inode;
	file->st = *st;
	idmap_put(&layout->files, st, file);
}

/*
 * Notes what the host's files are now: only when all is laid out do link counts and times stand
 * still.
 */
static int note_files(struct tree *tree, int fd, struct layout *layout, struct error *err)
{
	cleanup_scan struct scan *scan = NULL;
	struct scan_entry entry;
	struct dentry *dir = tree_root(tree);
	int r = scan_lookup(fd, ".", "/", &entry, err);
	if (r == 0)
		r = scan_open(fd, "", 0, &scan, err);
	if (r < 0)
		return r;
	note_file(tree, layout, &entry.st, dir->inode);
	while ((r = scan_next(scan, &entry, err)) > 0) {
		if (entry.event == SCAN_LEAVE) {
			dir = dir->parent;
			continue;
		}
		struct dentry *d = tree_find(tree, dir, entry.name, strlen(entry.name));
		if (d == NULL || ((d->inode->mode ^ entry.st.stx_mode) & S_IFMT) != 0)
			return error_set(err, ERROR_OUTPUT, EIO,
				"%s: in the working folder is not what was laid out there",
				entry.path);
		note_file(tree, layout, &entry.st, d->inode);
		if (inode_is_dir(d->inode))
			dir = d;
	}
	return r;
}

/*
 * Lets the clock that file times are taken from go on by a step, so that what is changed from now
 * on has other times than what was laid out.
 */
static void pass_clock_step(void)
{
	struct timespec step = {.tv_nsec = 10 * 1000 * 1000};
	clock_getres(CLOCK_REALTIME_COARSE, &step);
	while (nanosleep(&step, &step) < 0 && errno == EINTR)
		;
}

int layout_write(struct tree *tree, int fd, struct layout *layout, struct error *err)
{
	struct writer w = {.tree = tree, .layout = layout, .dir = tree_root(tree), .root = fd};
	layout->user_xattrs = true;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return error_set_errno(err, ERROR_OUTPUT, "cannot open the working folder");
	int r = dirstack_push(&w.stack, copy, false, err);
	if (r == 0)
		r = write_all(&w, err);
	dirstack_free(&w.stack);
	if (r == 0)
		r = note_files(tree, fd, layout, err);
	if (r == 0)
		pass_clock_step();
	return r;
}

void layout_free(struct layout *layout)
{
	idmap_free(&layout->files);
}
