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

#include "support/digest.h"
#include "support/error.h"
#include "support/report.h"

enum vm_accel { VM_ACCEL_AUTO, VM_ACCEL_KVM, VM_ACCEL_TCG };

#define VM_FURTHER_MAX 8

/* One more disk of the guest's: /dev/vdb is the first. */
struct vm_disk {
	int fd;         /* raw; opened for reading, and for writing where it is writable */
	int overlay_fd; /* qcow2 over it that takes the writes, or -1 */
	bool writable;  /* writes go to fd itself; overlay_fd is -1 then */
	uint64_t size;  /* bytes that its file system takes, which bound what is written; 0: the
			   whole file */
};

enum vm_mount_kind { VM_MOUNT_DISK = 1, VM_MOUNT_TMPFS = 2 };

/* What is mounted over a folder of the image for all jobs of a run. */
struct vm_mount {
	enum vm_mount_kind kind;
	size_t disk;       /* index of vm_options.further, for VM_MOUNT_DISK */
	uint32_t size_mib; /* of a VM_MOUNT_TMPFS; 0: half of the guest's memory */
	bool read_only;
	const char *path; /* absolute, in the image; a folder that is there, no symlink in it */
};

/* A file of mode 0400 at /run/secrets/ID, in the guest's memory alone. */
struct vm_secret {
	const char *id; /* a file name */
	const void *data;
	size_t len; /* at most VM_SECRET_MAX */
};
#define VM_SECRET_MAX 500000

#define VM_MOUNTS_MAX 64

/* The guest's one network interface; addresses are IPv4, in network byte order. */
struct vm_network {
	int fd; /* stream socket to what moves the packets (passt), inherited by QEMU */
	uint8_t address[4];
	uint8_t gateway[4];
	unsigned prefix; /* bits of the network's part of the address */
	unsigned mtu;
};

/*
 * The size of a disk as the guest sees it, in bytes, whatever is on it: what its file is long, and
 * what its overlay is created with. A guest that was saved remembers it of each of its disks.
 */
#define VM_DISK_SIZE (UINT64_C(64) << 30)

/*
 * A guest that was saved when it had booted and waits for its first word (template.h): a run goes
 * on from there.
 */
struct vm_template {
	enum vm_accel accel;   /* what it was saved with: VM_ACCEL_KVM or VM_ACCEL_TCG */
	struct digest memory;  /* of the memory, as template_make left it */
	uint64_t memory_bytes; /* that the memory took on its file system */
	int memory_fd;         /* opened for reading and writing; nothing is written to it */
	int state_fd;          /* the rest of the machine */
};

struct vm_options {
	const char *qemu;   /* the program, found on PATH where it has no '/' */
	const char *kernel; /* path of an ELF file with a PVH entry */
	const char *initrd; /* path of the initramfs */
	enum vm_accel accel;
	unsigned memory_mib;
	unsigned cpus;
	unsigned timeout; /* seconds for the whole run; 0: none */
	int disk_fd;      /* raw, opened for reading */
	int overlay_fd;   /* qcow2 over it, opened for reading and writing */
	/* Bytes of the disk that its file system takes, which bound the overlay; 0: the whole file.
	   May be set as late as before vm_continue. */
	uint64_t disk_size;
	uint64_t disk_inodes; /* that its file system has, for messages; 0: unknown; set as late */
	const struct vm_disk *further;
	size_t further_count; /* at most VM_FURTHER_MAX */
	const struct vm_mount *mounts;
	size_t mount_count; /* at most VM_MOUNTS_MAX */
	const struct vm_secret *secrets;
	size_t secret_count;
	const struct vm_network *network;   /* NULL: none */
	const struct vm_template *template; /* of these devices: template_check; NULL: it boots */
	bool disks_stay;    /* the disk and overlay are used after a run that was ended, too */
	uint64_t log_limit; /* bytes of the script's output that are accepted; 0: no limit */
};

enum vm_job_kind {
	VM_JOB_SCRIPT,  /* run a script in the image that is on the disk */
	VM_JOB_COMMAND, /* run a line by the image's sh -c */
	VM_JOB_SHELL,   /* an interactive shell on the user's terminal */
	VM_JOB_UNPACK,  /* unpack the layers on the one further disk into the disk's empty root;
			   see guest-init/protocol.h for what is on it */
};

/* Where a job's standard files are on the host, byte for byte. */
struct vm_streams {
	int in; /* passed on to its end; -1: empty */
	int out;
	int err;
	struct terminal *terminal; /* terminal.h; in and out are of no use then; NULL: none */
};

struct vm_job {
	enum vm_job_kind kind; /* what follows is for the jobs in the image */
	const void *script;    /* a `#!` line decides the interpreter; see guest-init/protocol.h */
	size_t script_len;
	const char *command;              /* of VM_JOB_COMMAND */
	const char *const *env;           /* "KEY=VALUE", NULL at the end */
	const char *cwd;                  /* absolute, in the image */
	const char *user;                 /* "NAME|UID[:GROUP|GID]" of the image; NULL: uid 0 */
	const struct vm_streams *streams; /* NULL: no input, and output goes to the report */
	const struct vm_job *on_failure;  /* run in the same guest where a script without streams
					     failed; its end changes nothing of the result; or
					     NULL */
};

/* What was found out while it ran; filled on success and on failure. */
struct vm_outcome {
	enum vm_accel accel; /* what was used: VM_ACCEL_KVM or VM_ACCEL_TCG */
	double boot_seconds; /* what the job waited until the guest was awake; 0: it never was */
	double run_seconds;  /* the job's own time in the guest */
	bool restored;       /* the guest went on from the template */
	bool template_bad;   /* it could not by the template's own fault, which is of no use */
	int exit_status;     /* the job's; 128 + n for signal n; of the unpacking: 0 is success */
};

/*
 * Whether KVM can run a virtual machine here: /dev/kvm opens, KVM_CREATE_VM works, and the
 * processor has VT-x or AMD-V. why: where not NULL and the answer is no, a static text with the
 * reason.
 */
bool vm_kvm_usable(const char **why);

/*
 * Fails with ERROR_QEMU and the reason where KVM is wanted and cannot be used: before anything is
 * started for it.
 */
int vm_check_accel(enum vm_accel wanted, struct error *err);

/* The most CPUs that a guest can have. */
#define VM_CPUS_MAX 255u

/* The accelerator that a run takes for what is wanted: VM_ACCEL_KVM or VM_ACCEL_TCG. */
enum vm_accel vm_choose_accel(enum vm_accel wanted);

/*
 * How many CPUs a guest has that nobody chose for: with KVM as many as this process may use, at
 * most VM_CPUS_MAX; with TCG one, because each further one makes starting a process dearer.
 */
unsigned vm_default_cpus(enum vm_accel wanted);

/*
 * Boots the guest, does the job, has the disk unmounted, and waits for QEMU's end; then the
 * overlay is complete. Output goes to report_output as it comes; other lines (which accelerator,
 * for AUTO; the console's last lines) to report_note. With AUTO, a guest that does not come up
 * with KVM is started once more with TCG.
 *
 * Returns 0 only when the job was done and the disk was unmounted cleanly: a script and the
 * unpacking with status 0, a command or a shell with whatever status it had. Else the error tells
 * how it ended, each with its cure: ERROR_SCRIPT (status N, signal N; 126 or 127 where it could
 * not be run), ERROR_INPUT (a layer is at fault: which, which entry, in the guest's words),
 * ERROR_MEMORY (the guest's OOM killer or no memory to boot: buildVMMemorySize), ERROR_DISK_FULL
 * (diskSize), ERROR_GUEST (kernel panic, with the console's last lines; protocol faults; file
 * system errors), ERROR_QEMU (missing, refused, died), ERROR_OUTPUT (a file of the job's streams
 * cannot be written), ERROR_TIMEOUT, ERROR_INTERRUPTED. QEMU and all it started are gone when this
 * returns, and die with the calling process too. On interrupt_fd's first signal the job gets
 * SIGTERM (with a terminal, SIGHUP) and some seconds; on the second (interrupt_count) QEMU is
 * killed at once. A run that is ended so, or by its time limit, unmounts its disks where that is of
 * use: with disks_stay and with writable further disks. A warning tells where disks that stay were
 * not unmounted.
 *
 * A job's terminal is raw while the job runs, and given back on every way out; the keys that leave
 * it (escape.h) end QEMU at once, or as a signal does where disks are to be unmounted: an
 * ERROR_INTERRUPTED. A job whose output finds no reader gets
 * SIGTERM, and its status is SIGPIPE's then. on_failure's job is announced by a warning that says
 * how the script failed; no time limit holds for it.
 */
int vm_run(const struct vm_options *options, const struct vm_job *job, struct report *report,
	struct vm_outcome *outcome, struct error *err);

/* A guest that is being started, or waits for its job. */
struct vm;

/*
 * Starts QEMU and returns: the guest boots, or is restored from the template, while the caller
 * makes what is to be on its disk. Until vm_continue nothing on the disk counts, but the overlay
 * is there, and the base has the length that it will have. options: must live as long. Lines
 * (which accelerator, for AUTO) go to report_note. Fails as vm_run does. The caller frees *out by
 * vm_free, which ends QEMU.
 */
int vm_start(const struct vm_options *options, struct report *report, struct vm **out,
	struct error *err);

/* Has a guest do its job, on the disk as it is now: the rest of vm_run. Once. */
int vm_continue(
	struct vm *vm, const struct vm_job *job, struct vm_outcome *outcome, struct error *err);

/* NULL is allowed. */
void vm_free(struct vm *vm);
static inline void cleanup_vm_fn(struct vm **vm)
{
	vm_free(*vm);
}
#define cleanup_vm __attribute__((cleanup(cleanup_vm_fn)))

#endif
