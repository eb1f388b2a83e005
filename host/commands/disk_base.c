#include "commands/disk_base.h"

#include <stdio.h>

#include "guestfs/guestfs_read.h"
#include "layer/layer.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree/changes.h"

int disk_base_open(const char *path, const struct image_options *options, struct image **out,
	struct error *err)
{
	const struct layer_options layer_options = {.keep_mtime = true};
	struct layer_info info;
	char tar_path[32];
	cleanup_tree struct tree *tree = tree_new();
	cleanup_close int fd = file_temporary(err);
	if (fd < 0)
		return fd;
	int r = guestfs_disk_tree(path, NULL, tree, options->report, err);
	if (r < 0)
		return r;
	changes_mark_all(tree);
	r = layer_write(tree, fd, &layer_options, &info, err);
	if (r < 0)
		return r;
	snprintf(tar_path, sizeof(tar_path), "/proc/self/fd/%d", fd);
	r = image_open(tar_path, options, out, err);
	return r < 0 ? error_wrap(err, r, "%s", path) : 0;
}
