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

/* Mounts proc, sys and dev in the initramfs, and has the loopback interface up. */
int devices_prepare(struct fault *fault);

/* Lists of modules in the initramfs: what every guest needs, and what a network takes. */
#define DEVICES_MODULES "/modules/order"
#define DEVICES_NETWORK_MODULES "/modules/network"

/* Loads the modules of a list in their order. */
int devices_load_modules(const char *list, struct fault *fault);

/* Waits until the kernel has made a device file. */
int devices_wait_for(const char *path, struct fault *fault);

/* Forgets what was read from a disk: there may be another one behind the device now. */
int devices_forget(const char *path, struct fault *fault);

/* Sets the clock; seconds and nanoseconds since 1970. */
int devices_set_clock(uint64_t seconds, uint32_t nanoseconds, struct fault *fault);

/* Adds random bytes of the host's to the kernel's pool, and has it use them at once. */
int devices_add_entropy(const void *data, size_t len, struct fault *fault);

#endif
