/* The image's disk: mounted, surrounded with what a script expects, watched, and let go. */
#ifndef GUEST_INIT_IMAGE_H
#define GUEST_INIT_IMAGE_H

#include <stdbool.h>

#include "fault.h"

#define IMAGE_FOLDER "/image"
#define TOOLBOX_FOLDER "/layervm" /* of the initramfs; PROTOCOL_TOOLBOX is in it, in the image */

/* Mounts the disk. */
int image_mount(struct fault *fault);

/*
 * Mounts proc, sys and dev into the image, in a mount namespace that the calling process makes
 * for itself: what it and its children mount goes with the last of them.
 */
int image_surround(struct fault *fault);

/* Whether no block or no inode is free for a file of the image now. */
bool image_full(void);

/*
 * Has everything written and makes the file system read-only and clean, then unmounts it. All
 * processes that used it must be gone. Fails, with words, where anything was not written or the
 * kernel found the file system damaged.
 */
int image_unmount(struct fault *fault);

#endif
