/* QEMU's command line, as a pure function of what is wanted. */
#ifndef LAYERVM_VM_QEMU_ARGS_H
#define LAYERVM_VM_QEMU_ARGS_H

#include <stddef.h>

#include "support/error.h"
#include "vm/vm.h"

/* The descriptors that QEMU inherits, besides the standard ones. */
enum qemu_fd {
	QEMU_FD_CHANNEL = 3, /* socket: frames, see guest-init/protocol.h */
	QEMU_FD_CONSOLE = 4, /* socket: the guest's serial port */
	QEMU_FD_DISK = 5,    /* the base, for reading only */
	QEMU_FD_OVERLAY = 6, /* the overlay, for reading and writing */
	QEMU_FD_FURTHER = 7, /* the first of the further disks, for reading only or for both */
	/* The first of their overlays, each where its disk has one. */
	QEMU_FD_FURTHER_OVERLAY = QEMU_FD_FURTHER + VM_FURTHER_MAX,
	QEMU_FD_NETWORK = QEMU_FD_FURTHER_OVERLAY + VM_FURTHER_MAX, /* stream of packets */
	QEMU_FD_CONTROL,                                            /* socket: QMP, see qmp.h */
	QEMU_FD_MEMORY, /* the guest's memory as a file */
	QEMU_FD_COUNT,
};

/* The MAC address of the guest's network interface, which nobody else sees. */
#define QEMU_MAC "52:54:00:12:34:56"
#define QEMU_MAC_BYTES 0x52, 0x54, 0x00, 0x12, 0x34, 0x56

struct qemu_args {
	char **argv; /* NULL at the end */
	size_t count;
	size_t capacity;
};

/* Where the guest begins. */
enum qemu_start {
	QEMU_BOOT,    /* the kernel boots */
	QEMU_SAVE,    /* it boots with disks of zeros and a network without others, to be saved: its
			 memory is the file */
	QEMU_RESTORE, /* it goes on from what was saved, in a copy of the file's memory */
};

/*
 * Writes the arguments for a run. accel: VM_ACCEL_KVM or VM_ACCEL_TCG. Fails with ERROR_SPEC where
 * memory or cpus is 0, with ERROR_INTERNAL where there are more than VM_FURTHER_MAX disks. The
 * caller frees the result with qemu_args_free.
 */
int qemu_args_make(struct qemu_args *args, const struct vm_options *options, enum vm_accel accel,
	enum qemu_start start, struct error *err);

/* Frees the arguments; an empty struct is allowed. */
void qemu_args_free(struct qemu_args *args);
#define cleanup_qemu_args __attribute__((cleanup(qemu_args_free)))

#endif
