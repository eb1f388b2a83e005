/* What the kernel must have before anything else: file systems of its own, modules, devices. */
#ifndef GUEST_INIT_DEVICES_H
#define GUEST_INIT_DEVICES_H

#include <stddef.h>
#include <stdint.h>

#include "fault.h"

/* The first virtio device's first port after the one kept for a console. */
#define DEVICE_CHANNEL "/dev/vport0p1"
#define DEVICE_DISK "/dev/vda"
#define DEVICE_LAYERS "/dev/vdb" /* for the job that unpacks an image */
#define DEVICE_DISKS_MAX 26      /* /dev/vda to /dev/vdz */

/*
 * Mounts proc, sys and dev in the initramfs, has the loopback interface up, and kexec(8) forbidden.
 */
int devices_prepare(struct fault *fault);

/*
 * Loads the modules for the devices that there are, and waits until the kernel has them all: the
 * channel, the disks, and a network if there is one.
 */
int devices_load(struct fault *fault);

/* Waits until the kernel has made a device file. */
int devices_wait_for(const char *path, struct fault *fault);

/* Forgets what was read from the disks: there may be others behind the devices now. */
int devices_forget_disks(struct fault *fault);

/* Sets the clock; seconds and nanoseconds since 1970. */
int devices_set_clock(uint64_t seconds, uint32_t nanoseconds, struct fault *fault);

/* Adds random bytes of the host's to the kernel's pool, and has it use them at once. */
int devices_add_entropy(const void *data, size_t len, struct fault *fault);

#endif
