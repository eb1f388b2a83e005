#include "hostdir/workdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "hostdir/hostscript.h"
#include "hostdir/layout.h"
#include "hostdir/scan.h"
#include "hostdir/workdir_read.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "support/temporary.h"
#include "tree/changes.h"

/* A private folder, and in it the one that becomes `/`, with the mode that `/` has. */
struct workdir {
	char *path;
	int fd;   /* of the private folder */
	int root; /* of the folder in it */
	struct report *report;
};

/* Removes one entry. Errors are noted: the first that could not be removed is told of. */
static void remove_entry(const struct scan_entry *entry, struct error *err, bool *failed)
{
	bool is_dir = S_ISDIR(entry->st.stx_mode);
	if (entry->event == SCAN_ENTRY && is_dir && !entry->is_mount)
		return; /* at its end */
	errno = EBUSY;
	if (!entry->is_mount && unlinkat(entry->dir, entry->name, is_dir ? AT_REMOVEDIR : 0) == 0)
		return;
	if (!*failed)
		error_set_errno(err, ERROR_OUTPUT, "%s: cannot be removed", entry->path);
	*failed = true;
}

/*
 * Removes the folder with all that is in it; what is mounted there is not entered. A failure is
 * a warning: the build is decided by then.
 */
static void remove_workdir(struct workdir *work)
{
	cleanup_scan struct scan *scan = NULL;
	struct scan_entry entry;
	struct error err;
	bool failed = false;
	if (work->root >= 0)
		close(work->root);
	if (work->fd >= 0) {
		fchmod(work->fd, S_IRWXU);
		int r = scan_open(work->fd, work->path, SCAN_FORCE | SCAN_ONE_MOUNT, &scan, &err);
		while (r == 0 && (r = scan_next(scan, &entry, &err)) > 0) {
			remove_entry(&entry, &err, &failed);
			r = 0;
		}
		failed |= r < 0;
		close(work->fd);
	}
	if (work->path != NULL && rmdir(work->path) < 0 && errno != ENOENT && !failed) {
		error_set_errno(&err, ERROR_OUTPUT, "%s: cannot be removed", work->path);
		failed = true;
	}
	if (failed)
		report_warning(work->report, "the working folder is left behind: %s", err.message);
	free(work->path);
}

static int make_workdir(struct workdir *work, struct error *err)
{
	int r = folder_temporary(&work->path, err);
	if (r < 0)
		return r;
	work->fd = open(work->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (work->fd < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot open", work->path);
	/* Neither a setgid bit nor a default ACL of the folder above may reach the files. */
	fremovexattr(work->fd, "system.posix_acl_default");
	if (fchmod(work->fd, S_IRWXU) < 0 || mkdirat(work->fd, "root", S_IRWXU) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot write", work->path);
	work->root = openat(work->fd, "root", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (work->root < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s/root: cannot open", work->path);
	return 0;
}

int workdir_run(struct tree *tree, const char *script, const struct workdir_options *options,
	struct error *err)
{
	__attribute__((cleanup(remove_workdir))) struct workdir work = {
		.fd = -1, .root = -1, .report = options->report};
	cleanup_layout struct layout layout = {0};
	struct changes changes;
	int r = interrupt_check(err);
	if (r == 0)
		r = changes_mark(tree, &changes, err);
	if (r == 0)
		r = make_workdir(&work, err);
	if (r == 0) {
		r = layout_write(tree, work.root, &layout, err);
		if (r < 0 && err->kind == ERROR_OUTPUT)
			error_wrap(err, r, "%s", work.path);
	}
	if (r == 0)
		r = hostscript_run(script, "extraCommands", work.root, options->report, err);
	if (r < 0)
		return r;
	r = workdir_read(tree, work.root, &layout, options, err);
	return r < 0 ? error_wrap(err, r, "extraCommands") : 0;
}
