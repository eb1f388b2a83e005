/* Disk images of virtual machines, told by their first bytes. */
#ifndef LAYERVM_GUESTFS_VM_DISK_H
#define LAYERVM_GUESTFS_VM_DISK_H

#include <stdbool.h>

#include "support/error.h"

/*
 * Whether a regular file is a disk image: qcow2, vmdk or vdi by its magic; raw with a GUID or a
 * plausible MBR partition table, an LVM physical volume, or an ext, XFS or btrfs superblock. Tars
 * and compressed files are none, whatever bytes they hold. No: also where it cannot be read.
 */
bool is_vm_disk(const char *path);

/*
 * The format of an image in QEMU's words: "qcow2", "vmdk", "vdi" or "raw"; NULL with an
 * ERROR_INPUT where it is no disk image, or one that refers to other files of the host, which
 * whoever made the image could choose. The text is static.
 */
const char *vm_disk_format(const char *path, struct error *err);

#endif
