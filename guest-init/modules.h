/* Kernel modules of the initramfs: those of a guest's devices, and those that a script may need. */
#ifndef GUEST_INIT_MODULES_H
#define GUEST_INIT_MODULES_H

#include "fault.h"

/* Lists, a module a line, in the order in which they are loaded. */
#define MODULES_OF_ALL "/modules/order"
#define MODULES_OF_NETWORK "/modules/network"

/* Loads the modules of a list. */
int modules_load(const char *list, struct fault *fault);

/*
 * Has the kernel run init's program where a process uses what is in a module (the kernel's
 * admin-guide/sysctl/kernel.rst, "modprobe"). The programs of a job need no modprobe for that, and
 * nothing is loaded before. Nothing is done where the initramfs has no modules for this.
 */
int modules_offer(struct fault *fault);

/*
 * init's program when the kernel runs it for a module: argv ends with the module's name or one of
 * its aliases. Returns the exit status: 0, or 1 where no module of the initramfs has the name.
 */
int modules_answer(int argc, char **argv);

#endif
