/* What the kernel must have before anything else: file systems of its own, modules, devices. */
#ifndef GUEST_INIT_DEVICES_H
#define GUEST_INIT_DEVICES_H

#include <stddef.h>

#include "fault.h"

/* The first virtio device's first port after the one kept for a console. */
#define DEVICE_CHANNEL "/dev/vport0p1"
#define DEVICE_DISK "/dev/vda"
#define DEVICE_LAYERS "/dev/vdb" /* for the job that unpacks an image */

/* Mounts proc, sys and dev in the initramfs, and has the loopback interface up. */
int devices_prepare(struct fault *fault);

/* Loads the modules of the initramfs in their order. */
int devices_load_modules(struct fault *fault);

/* Waits until the kernel has made a device file. */
int devices_wait_for(const char *path, struct fault *fault);

/* Adds random bytes of the host's to the kernel's pool, and has it use them at once. */
int devices_add_entropy(const void *data, size_t len, struct fault *fault);

#endif
