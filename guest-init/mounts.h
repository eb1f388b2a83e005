/*
 * What lies over folders of the image for a whole run: further disks and tmpfs. They are mounted
 * once, outside of the image, and bound into the mount namespace of each job.
 */
#ifndef GUEST_INIT_MOUNTS_H
#define GUEST_INIT_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "protocol.h"
#include "volume.h"

struct mount_entry {
	enum mount_kind kind;
	uint32_t number; /* of the disk, 1 to 25 (/dev/vdb to /dev/vdz); of a tmpfs: its MiB */
	bool read_only;
	char *path;           /* in the image */
	struct volume volume; /* of the first mount of a disk */
};

struct mounts {
	struct mount_entry entries[MOUNTS_MAX]; /* in the order in which they are attached */
	size_t count;
};

/* Takes the payload of MOUNT. */
int mounts_take(struct mounts *mounts, const void *payload, size_t length, struct fault *fault);

/* Mounts all of them outside of the image. */
int mounts_prepare(struct mounts *mounts, struct fault *fault);

/* Binds them into the image, in the mount namespace of a job. */
int mounts_surround(const struct mounts *mounts, struct fault *fault);

/*
 * Has all that was written on the disks, and unmounts them cleanly: all of them, also where one
 * fails; its words are the first one's.
 */
int mounts_release(struct mounts *mounts, struct fault *fault);

#endif
