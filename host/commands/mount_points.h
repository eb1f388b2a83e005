/* Where mounts go in an image: paths free of symlinks, to folders that are there. */
#ifndef LAYERVM_COMMANDS_MOUNT_POINTS_H
#define LAYERVM_COMMANDS_MOUNT_POINTS_H

#include <stddef.h>

#include "spec/extras.h"
#include "support/error.h"
#include "tree/tree.h"

struct mount_point {
	const struct guest_mount *mount; /* NULL: the tmpfs with the secrets */
	char *path;                      /* absolute */
};

struct mount_points {
	struct mount_point *points; /* in the order of their paths: what is above comes first */
	size_t count;
};

/*
 * Resolves the places of all mounts in the tree's current state: symlinks are followed within its
 * root, and missing parts are made as DENTRY_SCAFFOLD folders, but for those below another mount.
 * Fails with ERROR_SPEC where a place is no folder, the root, the guest's own or another mount's,
 * where a symlink leads the secrets to a folder with something in it, and where one is in a
 * read-only folder of the host that has no such folder. The caller frees
 * *out by mount_points_free in every case.
 */
int mount_points_make(const struct guest_extras_spec *spec, struct tree *tree,
	struct mount_points *out, struct error *err);

void mount_points_free(struct mount_points *points);

/*
 * The path that a path of the tree stands for, without symlinks, "." and ".."; parts that are
 * missing stay as they are. *out: the caller's to free. Fails with ERROR_SPEC where a part is no
 * folder and no symlink, or where more than 40 symlinks lead on; the caller says what path is.
 */
int mount_point_resolve(struct tree *tree, const char *path, char **out, struct error *err);

/*
 * The folder at a path that mount_point_resolve gave; what is missing of it is made, with mode
 * 0755, as DENTRY_SCAFFOLD.
 */
int mount_point_make(struct tree *tree, const char *path, struct dentry **out, struct error *err);

#endif
