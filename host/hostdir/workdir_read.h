/* What a script made of the files that were laid out for it (layout.h), back in the tree. */
#ifndef LAYERVM_HOSTDIR_WORKDIR_READ_H
#define LAYERVM_HOSTDIR_WORKDIR_READ_H

#include "hostdir/layout.h"
#include "hostdir/workdir.h"

/*
 * Makes the tree's current state its base, without the names that were deleted, with what is in
 * the folder. fd: the folder, ours; permissions of the owner are added to it as needed.
 * The tree is marked by changes_mark, as it was for layout_write; afterwards it has no flags.
 * Errors leave the tree as it was.
 */
int workdir_read(struct tree *tree, int fd, const struct layout *layout,
	const struct workdir_options *options, struct error *err);

#endif
