/* How a run ended, in words: from what the guest said, the console, QEMU's end and the limits. */
#ifndef LAYERVM_VM_ENDING_H
#define LAYERVM_VM_ENDING_H

#include "support/error.h"
#include "support/report.h"
#include "vm/machine.h"
#include "vm/session.h"
#include "vm/vm.h"

/*
 * Returns 0 where the job was done, as vm_run says, on a disk that was unmounted cleanly, and QEMU
 * ended well; else one of the errors of vm_run. What went wrong in the job that follows a failed
 * script is a warning. The console's last lines go to the report where
 * they tell more than the error.
 */
int ending_judge(const struct machine *machine, const struct session *session,
	const struct vm_options *options, struct report *report, struct error *err);

/*
 * The job's exit status as a shell has it, 128 + n for signal n; 0 while there is none. A job
 * whose output nobody reads has SIGPIPE's.
 */
int ending_status(const struct machine *machine, const struct session *session);

/* Says how the run's job failed, when the one after it begins. */
void ending_announce(const struct session *session);

#endif
