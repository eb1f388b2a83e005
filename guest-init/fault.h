/* What init could not do, in words. Functions of init return 0, or -1 with a fault set. */
#ifndef GUEST_INIT_FAULT_H
#define GUEST_INIT_FAULT_H

#include "protocol.h"

struct fault {
	char text[FRAME_TEXT_MAX];
};

/* Sets the fault and returns -1. */
int fault_set(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As fault_set, with ": strerror(errno)" at the end. */
int fault_set_errno(struct fault *fault, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
