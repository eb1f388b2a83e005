/* A process that gives a terminal back where layervm cannot do it any more. */
#ifndef LAYERVM_VM_TERMINAL_GUARD_H
#define LAYERVM_VM_TERMINAL_GUARD_H

#include <stdbool.h>
#include <sys/types.h>
#include <termios.h>

#include "support/error.h"

struct terminal_guard {
	pid_t pid; /* -1: none */
	int pipe;  /* its end is what the guard waits for */
};
#define TERMINAL_GUARD_NONE ((struct terminal_guard){.pid = -1, .pipe = -1})

/*
 * Leaves the screen as a shell wants it: the alternate screen off, the cursor and the plain keys
 * on, no report of pastes, focus and mouse, no colour.
 */
#define TERMINAL_RESET                                                                             \
	"\033[?1047l\033[?25h\033[?2004l\033[?1004l\033[?1000l\033[?1002l\033[?1003l\033[?1006l"   \
	"\033[?1l\033>\033[m\r\n"

/* Starts a guard for a terminal that it may write to. No thread may run. */
int terminal_guard_start(struct terminal_guard *guard, int terminal, struct error *err);

/* Has the guard restore these modes, and reset the screen, if this process ends from now on. */
int terminal_guard_arm(
	struct terminal_guard *guard, const struct termios *modes, struct error *err);

/* Has the guard do nothing. */
void terminal_guard_disarm(struct terminal_guard *guard);

/* Ends the guard, if there is one, and waits for it. */
void terminal_guard_end(struct terminal_guard *guard);

#endif
