/* The image's disk: mounted, surrounded with what a script expects, and watched. */
#ifndef GUEST_INIT_IMAGE_H
#define GUEST_INIT_IMAGE_H

#include <stdint.h>

#include "fault.h"
#include "volume.h"

#define IMAGE_FOLDER "/image"
#define TOOLBOX_FOLDER "/layervm" /* of the initramfs; PROTOCOL_TOOLBOX is in it, in the image */

/* Mounts the disk, as a volume that the caller releases. */
int image_mount(struct volume *volume, struct fault *fault);

/*
 * Makes what a program in the image is surrounded with, proc, sys and dev, in a mount namespace
 * that the calling process makes for itself: what it and its children mount goes with the last of
 * them. The image need not be mounted yet, so that all of this is in a saved guest already; what
 * init mounts from here on appears in the namespace as well.
 */
int image_prepare(struct fault *fault);

/* In the process that has prepared it, once the image is mounted: has it in the image. */
int image_surround(struct fault *fault);

/*
 * After image_surround and all other mounts in the image, in the same process: makes the image's
 * root the root of the process and of its mount namespace.
 */
int image_enter(struct fault *fault);

/* After a job: lets the image's file system be written to where the job froze it (fsfreeze(8)). */
void image_thaw(void);

/*
 * Of what the image's disk is full now: EXIT_FLAG_DISK_FULL and EXIT_FLAG_FILES_FULL; 0: of
 * neither.
 */
uint32_t image_full(void);

#endif
