/* Whether guests can run here, before there is one. */
#ifndef LAYERVM_COMMANDS_GUEST_CHECK_H
#define LAYERVM_COMMANDS_GUEST_CHECK_H

#include "support/error.h"
#include "vm/vm.h"

/*
 * Fails with ERROR_QEMU where there is no QEMU, and where the accelerator that was asked for cannot
 * be used (vm_check_accel). Cheap.
 */
int guest_check(enum vm_accel accel, struct error *err);

#endif
