/* Which file systems of a foreign disk make up its root, and where each goes. */
#ifndef LAYERVM_GUESTFS_HELPER_INSPECT_H
#define LAYERVM_GUESTFS_HELPER_INSPECT_H

#include <guestfs.h>

#include "support/error.h"

/*
 * Chooses the root of the disk and mounts it with what its fstab has, all for reading only. g:
 * launched. root: the user's choice, NULL: there must be only one. Fails with ERROR_INPUT, which
 * lists what there is.
 */
int inspect_and_mount(guestfs_h *g, const char *root, struct error *err);

#endif
