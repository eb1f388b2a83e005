#include "vm/vm.h"

#include <errno.h>

#include "support/interrupt.h"
#include "support/memory.h"
#include "vm/ending.h"
#include "vm/machine.h"
#include "vm/session.h"

/* Decides between KVM and TCG; what was found goes to the report where nobody had asked for it. */
static int choose_accel(
	enum vm_accel wanted, enum vm_accel *accel, struct report *report, struct error *err)
{
	const char *why = "";
	*accel = wanted;
	if (wanted == VM_ACCEL_TCG)
		return 0;
	bool kvm = vm_kvm_usable(&why);
	if (wanted == VM_ACCEL_KVM && !kvm)
		return error_set(err, ERROR_QEMU, ENODEV,
			"KVM was asked for, but %s; without it the guest is slower: --accel tcg",
			why);
	*accel = kvm ? VM_ACCEL_KVM : VM_ACCEL_TCG;
	if (kvm)
		report_note(report, "guest: runs with KVM");
	else
		report_note(report, "guest: runs with TCG, which is slower than KVM: %s", why);
	return 0;
}

static int check_host(struct error *err)
{
#if defined(__x86_64__)
	(void)err;
	return 0;
#else
	return error_set(err, ERROR_QEMU, ENOSYS,
		"guests run on x86_64 hosts only so far; this is another one");
#endif
}

static double seconds_between(int64_t start, int64_t end)
{
	return start != 0 && end > start ? (double)(end - start) / 1000 : 0;
}

/* One QEMU from start to end. *came_up: whether the guest said hello. */
static int run_once(const struct vm_options *options, const struct vm_job *job,
	struct report *report, struct vm_outcome *outcome, bool *came_up, struct error *err)
{
	cleanup_session struct session session = {
		.job = job,
		.report = report,
		.log_limit = options->log_limit,
	};
	cleanup_machine struct machine *machine = machine_new();
	*came_up = true; /* where QEMU cannot be started another accelerator changes nothing */
	int r = machine_start(machine, options, outcome->accel, err);
	if (r == 0)
		r = machine_follow(machine, &session, options->timeout, err);
	if (r < 0)
		return r;
	*came_up = session.stage != SESSION_BOOTING;
	outcome->boot_seconds = seconds_between(machine->start, machine->hello);
	outcome->run_seconds = seconds_between(machine->job_start, machine->job_end);
	outcome->exit_status = ending_status(&session);
	return ending_judge(machine, &session, options, report, err);
}

int vm_run(const struct vm_options *options, const struct vm_job *job, struct report *report,
	struct vm_outcome *outcome, struct error *err)
{
	bool came_up;
	*outcome = (struct vm_outcome){0};
	int r = check_host(err);
	if (r == 0)
		r = interrupt_check(err);
	if (r == 0)
		r = session_check_job(job, err);
	if (r == 0)
		r = choose_accel(options->accel, &outcome->accel, report, err);
	if (r < 0)
		return r;
	r = run_once(options, job, report, outcome, &came_up, err);
	/*
	 * KVM inside of other virtual machines may be there and not work. Before its hello the
	 * guest runs nothing but our kernel and init, which have not touched the disk.
	 */
	if (r < 0 && !came_up && options->accel == VM_ACCEL_AUTO &&
		outcome->accel == VM_ACCEL_KVM &&
		(err->kind == ERROR_QEMU || err->kind == ERROR_GUEST)) {
		report_note(
			report, "guest: once more with TCG, because with KVM: %s", err->message);
		outcome->accel = VM_ACCEL_TCG;
		r = run_once(options, job, report, outcome, &came_up, err);
	}
	return r;
}
