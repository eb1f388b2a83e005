/*
 * The guest: QEMU started on its disks, with the init of guest-init/ in it, which does one job.
 * vm_run takes files and a job; gives the job's output as it comes and how it ended. Knows
 * nothing of images, layers or file systems.
 */
#ifndef LAYERVM_VM_VM_H
#define LAYERVM_VM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"
#include "support/report.h"

enum vm_accel { VM_ACCEL_AUTO, VM_ACCEL_KVM, VM_ACCEL_TCG };

#define VM_FURTHER_MAX 4

struct vm_options {
	const char *qemu;   /* the program, found on PATH where it has no '/' */
	const char *kernel; /* path of the bzImage */
	const char *initrd; /* path of the initramfs */
	enum vm_accel accel;
	unsigned memory_mib;
	unsigned cpus;
	unsigned timeout;     /* seconds for the whole run; 0: none */
	int disk_fd;          /* raw, opened for reading */
	int overlay_fd;       /* qcow2 over it, opened for reading and writing */
	const int *further;   /* more raw disks, which the guest can only read */
	size_t further_count; /* at most VM_FURTHER_MAX */
	uint64_t log_limit;   /* bytes of the script's output that are accepted; 0: no limit */
};

enum vm_job_kind {
	VM_JOB_SCRIPT, /* run a script in the image that is on the disk */
	VM_JOB_UNPACK, /* unpack the layers on the one further disk into the disk's empty root;
			  see guest-init/protocol.h for what is on it */
};

struct vm_job {
	enum vm_job_kind kind; /* what follows is for VM_JOB_SCRIPT */
	const void *script;    /* a `#!` line decides the interpreter; see guest-init/protocol.h */
	size_t script_len;
	const char *const *env; /* "KEY=VALUE", NULL at the end */
	const char *cwd;        /* absolute, in the image */
};

/* What was found out while it ran; filled on success and on failure. */
struct vm_outcome {
	enum vm_accel accel; /* what was used: VM_ACCEL_KVM or VM_ACCEL_TCG */
	double boot_seconds; /* QEMU's start to the guest's hello; 0: it never came */
	double run_seconds;  /* the job's own time in the guest */
	int exit_status;     /* the script's; 128 + n for signal n; of other jobs: 0 is success */
};

/*
 * Whether KVM can run a virtual machine here: /dev/kvm opens, KVM_CREATE_VM works, and the
 * processor has VT-x or AMD-V. why: where not NULL and the answer is no, a static text with the
 * reason.
 */
bool vm_kvm_usable(const char **why);

/*
 * Boots the guest, does the job, has the disk unmounted, and waits for QEMU's end; then the
 * overlay is complete. Output goes to report_output as it comes; other lines (which accelerator,
 * for AUTO; the console's last lines) to report_note. With AUTO, a guest that does not come up
 * with KVM is started once more with TCG.
 *
 * Returns 0 only when the job was done (the script ended with status 0) and the disk was unmounted
 * cleanly. Else the error tells how it ended, each with its cure: ERROR_SCRIPT (status N, signal N;
 * 126 or 127 where it could not be run), ERROR_INPUT (a layer is at fault: which, which entry, in
 * the guest's words), ERROR_MEMORY (the guest's OOM killer or no memory to boot:
 * buildVMMemorySize), ERROR_DISK_FULL (diskSize), ERROR_GUEST (kernel panic, with the console's
 * last lines; protocol faults; file system errors), ERROR_QEMU (missing, refused, died),
 * ERROR_TIMEOUT, ERROR_INTERRUPTED. QEMU and all it started are gone when this returns, and die
 * with the calling process too. On interrupt_fd's first signal the script gets SIGTERM and some
 * seconds; on the second QEMU is killed at once.
 */
int vm_run(const struct vm_options *options, const struct vm_job *job, struct report *report,
	struct vm_outcome *outcome, struct error *err);

#endif
