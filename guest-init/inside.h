/*
 * Places in the image as the image itself sees them: no symlink of it leads out, whatever it holds.
 */
#ifndef GUEST_INIT_INSIDE_H
#define GUEST_INIT_INSIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"

/* Where something is mounted. */
struct inside {
	const char *path;    /* absolute, in the image */
	bool follow;         /* symlinks on the way, within the image */
	uint64_t attributes; /* MOUNT_ATTR_* of mount_setattr(2) */
};

/*
 * Binds a folder of init's into the image. The place is opened once and mounted on by its
 * descriptor, so that nothing redirects it in between. Folders that are missing on the way are
 * made: the host has made those of the image, so that they are in another mount.
 */
int inside_bind(const char *folder, const struct inside *to, struct fault *fault);

#endif
