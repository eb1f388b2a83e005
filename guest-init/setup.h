/*
 * What the host has set up for the whole run, besides the image's disk: a network, mounts that
 * leave no trace in the image, secrets. The jobs of a run share it.
 */
#ifndef GUEST_INIT_SETUP_H
#define GUEST_INIT_SETUP_H

#include "channel.h"
#include "fault.h"
#include "mounts.h"
#include "network.h"
#include "secrets.h"

/* All zero is nothing. It lives as long as init. */
struct setup {
	struct network network;
	struct mounts mounts;
	struct secrets secrets;
};

/* Takes a frame NETWORK, MOUNT or SECRET, whose payload is copied as far as it is needed. */
int setup_take(struct setup *setup, const struct frame *frame, struct fault *fault);

/*
 * Once, before the first job: has the network up, and disks, tmpfs and secrets mounted outside of
 * the image.
 */
int setup_prepare(struct setup *setup, struct fault *fault);

/*
 * In the mount namespace of a job, after proc, sys and dev, before the root is changed: has all of
 * it in the image.
 */
int setup_surround(const struct setup *setup, struct fault *fault);

/*
 * Once, after the last job, when its processes are gone: unmounts the disks cleanly. Fails, with
 * words, where anything was not written.
 */
int setup_release(struct setup *setup, struct fault *fault);

#endif
