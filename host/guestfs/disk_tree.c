#include <errno.h>

#include "guestfs/guestfs_read.h"
#include "guestfs/helper.h"
#include "guestfs/seen.h"
#include "guestfs/vm_disk.h"
#include "support/memory.h"

int guestfs_disk_tree(const char *path, const char *root, struct tree *tree, struct report *report,
	struct error *err)
{
	cleanup_close int tar = -1;
	uint64_t size;
	const char *format = vm_disk_format(path, err);
	if (format == NULL)
		return -EINVAL;
	/* libguestfs's programs have working folders of their own. */
	cleanup_free char *absolute = realpath(path, NULL);
	if (absolute == NULL)
		return error_set_errno(err, ERROR_INPUT, "%s", path);
	const char *const arguments[] = {"image", format, absolute, root, NULL};
	const struct helper_job job = {.arguments = arguments, .base = -1, .overlay = -1};
	int r = helper_run(&job, &tar, &size, report, err);
	if (r < 0)
		return error_wrap(err, r, "%s", path);
	return seen_apply(tree, tar, size, path, err);
}
