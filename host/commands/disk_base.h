/* The disk of a virtual machine as a base image. */
#ifndef LAYERVM_COMMANDS_DISK_BASE_H
#define LAYERVM_COMMANDS_DISK_BASE_H

#include "image/image.h"
#include "support/error.h"

/*
 * Reads the root file system of a disk image (guestfs_disk_tree) and opens it as an image of one
 * layer, as a root file system tar is. path: is_vm_disk says yes. Of several systems on the disk
 * none is chosen: `layervm export --root` makes a tar of one.
 */
int disk_base_open(const char *path, const struct image_options *options, struct image **out,
	struct error *err);

#endif
