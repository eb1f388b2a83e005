/*
 * Disks through libguestfs: its appliance, a virtual machine of its own, mounts a disk, so that
 * neither this program nor the host's kernel meets the file system on it. Takes disk images of
 * other machines, and the disk that our own guest wrote; gives trees. Only the helper executable
 * (helper/) links libguestfs; what it hands back is one tar, taken as hostile like any other.
 *
 * The helper is libexec/layervm/layervm-guestfs beside the folder of the running program, or in
 * $LAYERVM_LIBEXEC_DIR where that is set. Where it or libguestfs is absent, the functions here
 * fail with an ERROR_INTERNAL that says what to install. The appliance runs under KVM where
 * vm_kvm_usable says yes, else under TCG: some 10 seconds to come up, some 20 MB of files a second.
 */
#ifndef LAYERVM_GUESTFS_GUESTFS_READ_H
#define LAYERVM_GUESTFS_GUESTFS_READ_H

#include "support/error.h"
#include "support/report.h"
#include "tree/tree.h"

/*
 * Fills an empty tree (tree_new) with the root file system on a disk image: raw, qcow2, vmdk or
 * vdi, with partitions, LVM and whatever file system the appliance's kernel knows; the image is
 * never written to. The root is found by inspection, and the file systems of its fstab that are
 * on the disk are mounted below it; without an operating system the only file system there is.
 * path: of a regular file. root: a device such as "/dev/sda2" as libguestfs names it, which
 * chooses one of several; NULL: there must be no choice. report: for notes and warnings; or NULL.
 * Sockets are left out, as tar does. Data stays in an unnamed temporary file, which is the tree's.
 * Fails with ERROR_INPUT where the image cannot be read, refers to other files (a backing file, a
 * parent, extents), holds several operating systems or no root at all: the choices are listed,
 * with --root; with ERROR_LIMIT where a name begins with ".wh." or the files, holes counted as
 * zeros, take more than LAYER_SIZE_MAX bytes; and when interrupted.
 */
int guestfs_disk_tree(const char *path, const char *root, struct tree *tree, struct report *report,
	struct error *err);

/*
 * Does what disk_reread does, by another reader: brings the tree's current state to what the
 * appliance's kernel sees on the disk. base: as disk_assemble wrote it. overlay: the qcow2 file
 * over it after the run. Both stay open and are not changed. changes_mark and layer_write give
 * the same layer afterwards as after disk_reread: inodes that did not change compare equal.
 * Fails as guestfs_disk_tree does; with ERROR_GUEST where the disk cannot be mounted
 * or read.
 */
int guestfs_reread(struct tree *tree, int base, int overlay, struct error *err);

#endif
