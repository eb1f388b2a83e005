/*
 * What guestfs_read.h gives, as a tar on standard output, for guestfs.sh.
 *
 * read_disk image DISK [ROOT]                        all files of a disk image
 * read_disk written BASE-LAYER DISK OVERLAY EPOCH    the layer that a guest's disk makes on a base
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guestfs/guestfs_read.h"
#include "layer/layer.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "tree/changes.h"

static int open_file(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? error_set_errno(err, ERROR_INPUT, "%s", path) : fd;
}

static int read_base(struct tree *tree, const char *path, struct error *err)
{
	struct stat st;
	int fd = open_file(path, err);
	if (fd < 0)
		return fd;
	struct source *tar = source_from_fd(fd, 0, path);
	if (fstat(fd, &st) < 0) {
		tar->free(tar);
		return error_set_errno(err, ERROR_INPUT, "%s", path);
	}
	return layer_apply(tree, tar, (uint64_t)st.st_size, path, err);
}

/* The mount points that a build makes for its guest. */
static void add_scaffold(struct tree *tree)
{
	static const char *const names[] = {"dev", "proc", "sys"};
	struct dentry *root = tree_root(tree);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);
		if (tree_find(tree, root, names[i], len) == NULL)
			tree_link(tree, root, names[i], len, tree_inode_new(tree, S_IFDIR | 0755))
				->flags |= DENTRY_SCAFFOLD;
	}
}

static int read_written(struct tree *tree, char **argv, struct error *err)
{
	struct changes changes;
	int r = read_base(tree, argv[0], err);
	if (r < 0)
		return r;
	tree_freeze(tree);
	add_scaffold(tree);
	cleanup_close int disk = open_file(argv[1], err);
	cleanup_close int overlay = open_file(argv[2], err);
	if (disk < 0 || overlay < 0)
		return disk < 0 ? disk : overlay;
	r = guestfs_reread(tree, disk, overlay, err);
	return r < 0 ? r : changes_mark(tree, &changes, err);
}

static int run(int argc, char **argv, struct report *report, struct error *err)
{
	struct layer_options options = {.keep_mtime = true};
	struct layer_info info;
	cleanup_tree struct tree *tree = tree_new();
	int r = interrupt_setup(err);
	if (r < 0)
		return r;
	if (argc == 6 && strcmp(argv[1], "written") == 0) {
		options = (struct layer_options){.mtime_max = strtoimax(argv[5], NULL, 10)};
		r = read_written(tree, argv + 2, err);
	} else if ((argc == 3 || argc == 4) && strcmp(argv[1], "image") == 0) {
		r = guestfs_disk_tree(argv[2], argc == 4 ? argv[3] : NULL, tree, report, err);
		if (r == 0)
			changes_mark_all(tree);
	} else {
		return error_set(err, ERROR_USAGE, EINVAL,
			"usage: read_disk image DISK [ROOT] | written LAYER DISK OVERLAY EPOCH");
	}
	return r < 0 ? r : layer_write(tree, STDOUT_FILENO, &options, &info, err);
}

int main(int argc, char **argv)
{
	struct error err;
	cleanup_report struct report *report = report_new(REPORT_PLAIN, STDERR_FILENO);
	if (run(argc, argv, report, &err) == 0)
		return 0;
	report_error(report, &err);
	return error_exit_status(&err);
}
