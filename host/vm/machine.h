/*
 * A running QEMU with layervm's ends of its channels: started, followed with one poll loop until
 * it is gone. Says what stopped it, and not what that means: ending.h judges.
 */
#ifndef LAYERVM_VM_MACHINE_H
#define LAYERVM_VM_MACHINE_H

#include "support/child.h"
#include "support/error.h"
#include "vm/qemu_args.h"
#include "vm/qmp.h"
#include "vm/ring.h"
#include "vm/session.h"
#include "vm/vm.h"

/* Why layervm ended QEMU, if it did. */
enum machine_stop {
	STOP_NONE,      /* it ended by itself */
	STOP_INTERRUPT, /* a signal */
	STOP_TIMEOUT,   /* vm_options.timeout passed */
	STOP_BOOT,      /* no HELLO in the time for it */
	STOP_END,       /* no end of QEMU in MACHINE_END_SECONDS after the last frame */
	STOP_FAULT,     /* what the guest said, or a file of the job's: machine.fault */
	STOP_ESCAPE,    /* the user left the terminal */
	STOP_STILL,     /* the guest does nothing any more: pulse.h */
	STOP_DEAF,      /* the guest works, but its init does not: pulse.h */
	STOP_UNREAD,    /* nobody reads the job's output, and it did not end in the time for it */
};

#define MACHINE_BOOT_SECONDS_KVM 30  /* a fast machine takes less than one */
#define MACHINE_BOOT_SECONDS_TCG 180 /* a slow machine takes some ten */
#define MACHINE_GRACE_SECONDS 5      /* from SIGTERM to the job, to its end, or to SIGKILL */
#define MACHINE_SAVE_SECONDS 10      /* of a run that was ended: for its disks to be unmounted */
#define MACHINE_END_SECONDS 60       /* QEMU writes its tables to the overlay */

/* What the console of a guest says when its kernel halts. */
#define MACHINE_HALTED "reboot: System halted"

struct machine {
	struct child qemu;
	unsigned boot_seconds; /* the time for HELLO to come */
	int channel;           /* -1 once closed */
	int console;
	int messages;
	struct qmp qmp; /* its descriptor is -1 where QEMU_BOOT has none */

	struct ring console_text;
	struct ring message_text; /* QEMU's standard output and standard error */

	enum machine_stop stop;
	enum session_stage stop_stage; /* how far the run was then */
	struct error fault;
	bool unread; /* the reader of the job's output is gone */
	int status;  /* of QEMU, as waitpid(2) gives it; for STOP_NONE */

	int64_t start; /* milliseconds of the monotonic clock */
	int64_t hello; /* 0: it never came */
	int64_t job_start;
	int64_t job_end;
};

/*
 * Starts QEMU. accel: VM_ACCEL_KVM or VM_ACCEL_TCG. memory: the file of the guest's memory, for
 * other starts than QEMU_BOOT. The caller frees machine by machine_free.
 */
int machine_start(struct machine *machine, const struct vm_options *options, enum vm_accel accel,
	enum qemu_start start, int memory, struct error *err);

/*
 * Lowers what QEMU may write to what its disks take now: options->disk_size may have become known
 * since its start.
 */
int machine_limit_files(
	const struct machine *machine, const struct vm_options *options, struct error *err);

/* Follows the run until QEMU is gone. Fails only where the host does not do its part. */
int machine_follow(
	struct machine *machine, struct session *session, unsigned timeout, struct error *err);

/* Ends QEMU if it still runs, and frees what the machine holds. NULL is allowed. */
void machine_free(struct machine *machine);

static inline void cleanup_machine_fn(struct machine **machine)
{
	machine_free(*machine);
}
#define cleanup_machine __attribute__((cleanup(cleanup_machine_fn)))

/* An empty machine, for machine_start. */
struct machine *machine_new(void) __attribute__((returns_nonnull));

#endif
