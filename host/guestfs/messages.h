/*
 * What layervm and its helper layervm-guestfs have agreed on.
 *
 * layervm-guestfs ACCEL image FORMAT PATH [ROOT]   a disk image of another machine
 * layervm-guestfs ACCEL written                    the disk that our guest wrote
 *
 * ACCEL is "kvm" or "tcg". The helper writes a tar of the root file system to HELPER_FD_TAR, and
 * lines to HELPER_FD_MESSAGES: "note TEXT", "warning TEXT", in the end "done" or "error KIND
 * TEXT", where KIND is a word of error_kind_name. SIGTERM ends it, with all that it started.
 */
#ifndef LAYERVM_GUESTFS_MESSAGES_H
#define LAYERVM_GUESTFS_MESSAGES_H

#define HELPER_NAME "layervm-guestfs"

enum helper_fd {
	HELPER_FD_TAR = 3,
	HELPER_FD_MESSAGES = 4,
	HELPER_FD_BASE = 5,    /* of "written": the raw disk, for reading */
	HELPER_FD_OVERLAY = 6, /* of "written": the qcow2 file over it, for reading */
	HELPER_FD_END = 7,
};

#endif
