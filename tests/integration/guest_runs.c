#include "guest_runs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/fileio.h"
#include "support/memory.h"

static enum vm_accel chosen_accel(void)
{
	const char *name = getenv("LAYERVM_TEST_ACCEL");
	if (name != NULL && strcmp(name, "kvm") == 0)
		return VM_ACCEL_KVM;
	return name != NULL && strcmp(name, "auto") == 0 ? VM_ACCEL_AUTO : VM_ACCEL_TCG;
}

struct vm_options guest_options(
	const struct guest_settings *settings, const struct guest_files *files)
{
	return (struct vm_options){
		.qemu = "qemu-system-x86_64",
		.kernel = files->kernel,
		.initrd = files->initrd,
		.accel = chosen_accel(),
		.memory_mib = settings->memory_mib,
		.cpus = settings->cpus != 0 ? settings->cpus : 1,
		.timeout = settings->timeout,
		.template = settings->template,
		.disk_fd = -1,
		.overlay_fd = -1,
	};
}

void guest_run(const struct guest_settings *settings, const struct vm_job *job,
	struct guest_result *result)
{
	struct error err;
	cleanup_guest_files struct guest_files files = {0};
	cleanup_close int disk = -1;
	cleanup_close int overlay = -1;
	cleanup_close int text = file_temporary(&err);
	assert_true(text >= 0);
	if (guest_files_find(&files, &err) < 0)
		fail_msg("%s", err.message);
	/* A guest that was saved knows how large its disk is. */
	uint64_t size = settings->template != NULL ? VM_DISK_SIZE : DISKS_SIZE;
	disks_open(settings->root, size, &disk, &overlay);
	if (settings->prepare != NULL)
		settings->prepare(overlay);
	struct vm_options options = guest_options(settings, &files);
	options.disk_fd = disk;
	options.overlay_fd = overlay;
	cleanup_report struct report *report = report_new(settings->mode, text);
	*result = (struct guest_result){0};
	result->r = vm_run(&options, job, report, &result->outcome, &result->err);
	assert_return_code(lseek(text, 0, SEEK_SET), errno);
	assert_int_equal(file_read_all(text, 64u << 20, &result->text, "report", &err), 0);
	buffer_add(&result->text, "", 1);
}

void guest_run_job(
	enum root root, unsigned timeout, const struct vm_job *job, struct guest_result *result)
{
	const struct guest_settings settings = {
		.root = root,
		.mode = REPORT_PLAIN,
		.memory_mib = 192,
		.timeout = timeout,
	};
	guest_run(&settings, job, result);
}
