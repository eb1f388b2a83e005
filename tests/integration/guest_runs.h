/* vm_run on one of the disks of guest_disks.h, and what came of it. */
#ifndef TESTS_INTEGRATION_GUEST_RUNS_H
#define TESTS_INTEGRATION_GUEST_RUNS_H

#include "guest_disks.h"
#include "support/buffer.h"
#include "support/error.h"
#include "support/report.h"
#include "vm/guest_files.h"
#include "vm/vm.h"

struct guest_result {
	int r;
	struct error err;
	struct vm_outcome outcome;
	struct buffer text; /* the report, with a NUL */
};

struct guest_settings {
	enum root root;
	enum report_mode mode;
	unsigned memory_mib;
	unsigned timeout;
	void (*prepare)(int overlay);       /* does something to the new overlay; NULL: nothing */
	unsigned cpus;                      /* 0: one */
	const struct vm_template *template; /* NULL: the guest boots */
};

/* The options of a run without its disks; the caller keeps files as long as them. */
struct vm_options guest_options(
	const struct guest_settings *settings, const struct guest_files *files);

/* Runs a job in a guest. LAYERVM_TEST_ACCEL chooses kvm or auto; the default is tcg. */
void guest_run(const struct guest_settings *settings, const struct vm_job *job,
	struct guest_result *result);

/* The same in a guest of a usual size, with the report in plain text. */
void guest_run_job(
	enum root root, unsigned timeout, const struct vm_job *job, struct guest_result *result);

static inline void guest_result_free(struct guest_result *result)
{
	buffer_free(&result->text);
}
#define cleanup_guest_result __attribute__((cleanup(guest_result_free)))

#endif
