/*
 * Guests that were saved when they had booted. A run that begins from one skips the boot: QEMU maps
 * the saved memory privately, loads the small rest of the machine, and the guest goes on behind its
 * HELLO, with another disk, clock and random numbers (guest-init/protocol.h, WAKE). A template is
 * two files; where they are kept is the caller's affair.
 */
#ifndef LAYERVM_VM_TEMPLATE_H
#define LAYERVM_VM_TEMPLATE_H

#include <stdbool.h>

#include "support/digest.h"
#include "support/error.h"
#include "vm/machine.h"
#include "vm/vm.h"

/*
 * Whether a run with these options may begin from a template. A guest is saved with its devices: so
 * many further disks, each of which can be written or not, and a network or none. Of each disk it
 * remembers that it is VM_DISK_SIZE long: where one is not, that is an ERROR_LIMIT that says which.
 * Descriptors that are -1 are passed over.
 */
int template_check(const struct vm_options *options, struct error *err);

/*
 * What a template for such a run depends on, as one digest: QEMU's command line, and so the set of
 * devices, but not what takes the writes to a disk; which files QEMU, the kernel and the initramfs
 * are (device, inode, size, times), the version of the protocol, the kernel and the name of this
 * machine. options->accel is VM_ACCEL_KVM or VM_ACCEL_TCG. Fails with
 * ERROR_QEMU or ERROR_INTERNAL where one of the files is missing.
 */
int template_key(const struct vm_options *options, struct digest *key, struct error *err);

/*
 * Boots a guest and saves it to two empty files, open for reading and writing; state begins with
 * the digests of both. options: as for template_key; of disks and network only which there are
 * counts, and nothing of theirs is opened. Fails with ERROR_QEMU or ERROR_GUEST where that does not
 * work here, with an ERROR_OUTPUT, ENOSPC, where the files' file system is full, and when
 * interrupted; the files are empty then.
 */
int template_make(const struct vm_options *options, int memory, int state, struct error *err);

/*
 * Reads what a template's state says, and checks the state: the digest of the memory that belongs
 * to it, and what that takes, is in *template then, whose memory_fd is the caller's to set. state
 * stays the caller's. Fails with ERROR_INPUT where it is not as template_make left it; whether the
 * memory is, the run itself finds out, beside QEMU's start.
 */
int template_read(int state, enum vm_accel accel, struct vm_template *template, struct error *err);

/* Compares all of a memory with its digest; an ERROR_INPUT where it is another's. */
int template_check_memory(int memory, const struct digest *digest, struct error *err);

/*
 * Brings a machine that was started with QEMU_RESTORE to where the template was saved; it stands
 * still there. Fails with ERROR_INPUT where the memory is not what was saved, with ERROR_QEMU, and
 * when interrupted.
 */
int template_load(struct machine *machine, const struct vm_template *template, struct error *err);

/*
 * Whether it was the template's own fault that a run could not go on from it: the memory is not
 * what was saved, QEMU did not take the state or crashed on it, the guest did not wake up. Not
 * where QEMU did not begin, was ended from outside, for want of memory or of room, or took too
 * long. r, err: why the run could not go on. Waits for a moment where QEMU is about to end.
 */
bool template_is_blamed(struct machine *machine, int r, const struct error *err);

/* Lets it go on. */
int template_continue(struct machine *machine, struct error *err);

#endif
