/* The helper's work, in a process that may be killed at any moment: main.c tidies up after it. */
#ifndef LAYERVM_GUESTFS_HELPER_WORKER_H
#define LAYERVM_GUESTFS_HELPER_WORKER_H

#include <stdbool.h>

#include "support/error.h"

struct worker_job {
	bool kvm;
	const char *format; /* of an image, in QEMU's words; NULL: the disk that our guest wrote */
	const char *path;   /* of the image */
	const char *root;   /* the user's choice, or NULL */
};

/*
 * Boots the appliance on the disk, mounts it and writes its files to HELPER_FD_TAR.
 * folder: for temporary files.
 */
int worker_run(const struct worker_job *job, const char *folder, struct error *err);

#endif
