#include "commands/guest_check.h"

#include <errno.h>

#include "commands/qemu_program.h"
#include "support/child.h"
#include "support/memory.h"

int guest_check(enum vm_accel accel, struct error *err)
{
	cleanup_free char *qemu = child_find(qemu_program());
	if (qemu == NULL)
		return error_set(err, ERROR_QEMU, ENOENT,
			"%s not found; install the package qemu-system-x86", qemu_program());
	return vm_check_accel(accel, err);
}
