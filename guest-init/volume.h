/* A disk with a file system that init mounts, and leaves written and clean. */
#ifndef GUEST_INIT_VOLUME_H
#define GUEST_INIT_VOLUME_H

#include "fault.h"

struct volume {
	const char *what; /* for messages: "the image's disk" */
	char folder[32];  /* where it is mounted */
	char device[16];  /* "/dev/vda" */

	/*
	 * The device and the folder, held from the mount on. The kernel tells an error of a write
	 * once to each descriptor that was open then; to a later one only where nobody was told.
	 */
	int device_fd;
	int folder_fd;
};

/* Mounts it as ext4. flags: of mount(2). The volume is to be released, or lives as long as init. */
int volume_mount(struct volume *volume, unsigned long flags, struct fault *fault);

/*
 * Has everything written and makes the file system read-only and clean, then unmounts it. All
 * processes that used it must be gone. Fails, with words, where anything was not written at any
 * time since the mount, or the kernel found the file system damaged.
 */
int volume_release(struct volume *volume, struct fault *fault);

#endif
