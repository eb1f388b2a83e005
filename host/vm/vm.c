#include "vm/vm.h"

#include <errno.h>
#include <pthread.h>

#include "support/clock.h"
#include "support/cpu_count.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "vm/ending.h"
#include "vm/machine.h"
#include "vm/request.h"
#include "vm/session.h"
#include "vm/template.h"

int vm_check_accel(enum vm_accel wanted, struct error *err)
{
	const char *why = "";
	if (wanted != VM_ACCEL_KVM || vm_kvm_usable(&why))
		return 0;
	return error_set(err, ERROR_QEMU, ENODEV,
		"KVM was asked for, but %s; without it the guest is slower: --accel tcg", why);
}

/* Decides between KVM and TCG; what was found goes to the report where nobody had asked for it. */
static int choose_accel(
	enum vm_accel wanted, enum vm_accel *accel, struct report *report, struct error *err)
{
	const char *why = "";
	*accel = wanted;
	int r = vm_check_accel(wanted, err);
	if (r < 0 || wanted == VM_ACCEL_TCG)
		return r;
	bool kvm = vm_kvm_usable(&why);
	*accel = kvm ? VM_ACCEL_KVM : VM_ACCEL_TCG;
	if (kvm)
		report_note(report, "guest: runs with KVM");
	else
		report_note(report, "guest: runs with TCG, which is slower than KVM: %s", why);
	return 0;
}

enum vm_accel vm_choose_accel(enum vm_accel wanted)
{
	if (wanted == VM_ACCEL_AUTO)
		return vm_kvm_usable(NULL) ? VM_ACCEL_KVM : VM_ACCEL_TCG;
	return wanted;
}

unsigned vm_default_cpus(enum vm_accel wanted)
{
	return vm_choose_accel(wanted) == VM_ACCEL_KVM ? cpu_count(VM_CPUS_MAX) : 1;
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

struct vm {
	const struct vm_options *options;
	struct report *report;
	enum vm_accel accel; /* VM_ACCEL_KVM or VM_ACCEL_TCG */
	struct machine *machine;
	int64_t begun; /* when the job was given, in milliseconds of the monotonic clock */
	/* Of a machine that is restored; template is NULL where it boots. */
	const struct vm_template *template;
	bool is_loading; /* the thread runs */
	pthread_t thread;
	int result; /* of the thread */
	struct error err;
};

static void *load(void *data)
{
	struct vm *vm = data;
	vm->result = template_load(vm->machine, vm->template, &vm->err);
	return NULL;
}

/* Waits for the thread, at most timeout seconds where that is not 0. Returns whether it is done. */
static bool await_load(struct vm *vm, unsigned timeout)
{
	struct timespec end;
	int r;
	if (!vm->is_loading)
		return true;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)timeout;
	if (timeout != 0)
		r = pthread_clockjoin_np(vm->thread, NULL, CLOCK_MONOTONIC, &end);
	else
		r = pthread_join(vm->thread, NULL);
	vm->is_loading = r == ETIMEDOUT;
	return !vm->is_loading;
}

static int boot(struct vm *vm, struct error *err)
{
	machine_free(vm->machine);
	vm->machine = machine_new();
	vm->template = NULL;
	return machine_start(vm->machine, vm->options, vm->accel, QEMU_BOOT, -1, err);
}

/* Starts a machine that is restored from the template, as far as it goes without the disk. */
static int restore(struct vm *vm, struct error *err)
{
	vm->template = vm->options->template;
	vm->machine = machine_new();
	int r = machine_start(
		vm->machine, vm->options, vm->accel, QEMU_RESTORE, vm->template->memory_fd, err);
	if (r < 0)
		return r;
	vm->is_loading = pthread_create(&vm->thread, NULL, load, vm) == 0;
	if (!vm->is_loading)
		load(vm);
	return 0;
}

int vm_start(
	const struct vm_options *options, struct report *report, struct vm **out, struct error *err)
{
	cleanup_vm struct vm *vm = xcalloc(1, sizeof(*vm));
	vm->options = options;
	vm->report = report;
	int r = check_host(err);
	if (r == 0)
		r = interrupt_check(err);
	if (r == 0)
		r = request_check_setup(options, err);
	if (r == 0)
		r = choose_accel(options->accel, &vm->accel, report, err);
	if (r < 0)
		return r;
	bool saved = options->template != NULL && options->template->accel == vm->accel;
	r = saved ? restore(vm, err) : boot(vm, err);
	if (r < 0)
		return r;
	*out = steal_ptr(&vm);
	return 0;
}

void vm_free(struct vm *vm)
{
	if (vm == NULL)
		return;
	/* Without QEMU the thread has nobody to talk to. */
	if (vm->machine != NULL)
		child_kill(&vm->machine->qemu);
	await_load(vm, 0);
	machine_free(vm->machine);
	free(vm);
}

/* Lets a restored machine go on. Where that fails a guest boots in its place. */
static int wake(
	struct vm *vm, struct session *session, struct vm_outcome *outcome, struct error *err)
{
	if (vm->template == NULL)
		return 0;
	if (!await_load(vm, vm->options->timeout))
		return error_set(err, ERROR_TIMEOUT, ETIMEDOUT,
			"the guest's start was not done after the %u seconds of the time limit "
			"(--timeout)",
			vm->options->timeout);
	*err = vm->err;
	int r = vm->result;
	if (r == 0)
		r = template_continue(vm->machine, err);
	if (r == 0) {
		session_resume(session);
		return 0;
	}
	if (err->kind == ERROR_INTERRUPTED)
		return r;
	outcome->template_bad = template_is_blamed(vm->machine, r, err);
	report_note(
		vm->report, "guest: boots, because a saved one cannot be used: %s", err->message);
	return boot(vm, err);
}

/* The job on the machine that was started. *came_up: whether the guest was awake. */
static int run_once(struct vm *vm, const struct vm_job *job, struct vm_outcome *outcome,
	bool *came_up, struct error *err)
{
	cleanup_session struct session session = {
		.options = vm->options,
		.job = job,
		.report = vm->report,
	};
	/* Where QEMU cannot be started another accelerator changes nothing. */
	*came_up = true;
	int r = wake(vm, &session, outcome, err);
	struct machine *machine = vm->machine;
	if (r == 0)
		r = machine_limit_files(machine, vm->options, err);
	if (r == 0)
		r = machine_follow(machine, &session, vm->options->timeout, err);
	if (r < 0)
		return r;
	*came_up = session.stage > SESSION_WAKING;
	outcome->accel = vm->accel;
	outcome->restored = vm->template != NULL && *came_up;
	outcome->boot_seconds = seconds_between(vm->begun, machine->hello);
	outcome->run_seconds = seconds_between(machine->job_start, machine->job_end);
	outcome->exit_status = ending_status(machine, &session);
	return ending_judge(machine, &session, vm->options, vm->report, err);
}

/* What to try in place of a guest that did not come up, in words; NULL: nothing. */
static const char *other_way(
	struct vm *vm, struct vm_outcome *outcome, int r, const struct error *err)
{
	bool failed = err->kind == ERROR_QEMU || err->kind == ERROR_GUEST;
	/* A guest that was saved had all the memory that it needs. */
	if (vm->template != NULL && (failed || err->kind == ERROR_MEMORY)) {
		outcome->template_bad = template_is_blamed(vm->machine, r, err);
		return "boots, because a saved one did not go on";
	}
	/* KVM inside of other virtual machines may be there and not work. */
	if (!failed || vm->options->accel != VM_ACCEL_AUTO || vm->accel != VM_ACCEL_KVM)
		return NULL;
	vm->accel = VM_ACCEL_TCG;
	return "once more with TCG, because with KVM it did not come up";
}

int vm_continue(
	struct vm *vm, const struct vm_job *job, struct vm_outcome *outcome, struct error *err)
{
	bool came_up;
	*outcome = (struct vm_outcome){.accel = vm->accel};
	vm->begun = clock_ms();
	int r = request_check_job(job, err);
	if (r < 0)
		return r;
	r = run_once(vm, job, outcome, &came_up, err);
	/* Before it is awake the guest runs nothing but our kernel and init, which have not
	   touched the disk. */
	while (r < 0 && !came_up) {
		const char *how = other_way(vm, outcome, r, err);
		if (how == NULL)
			break;
		report_note(vm->report, "guest: %s: %s", how, err->message);
		r = boot(vm, err);
		if (r < 0)
			break;
		r = run_once(vm, job, outcome, &came_up, err);
	}
	return r;
}

int vm_run(const struct vm_options *options, const struct vm_job *job, struct report *report,
	struct vm_outcome *outcome, struct error *err)
{
	cleanup_vm struct vm *vm = NULL;
	*outcome = (struct vm_outcome){0};
	int r = request_check_job(job, err);
	if (r == 0)
		r = vm_start(options, report, &vm, err);
	return r != 0 ? r : vm_continue(vm, job, outcome, err);
}
