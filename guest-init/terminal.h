/* A pseudo terminal for a job, as its controlling terminal. */
#ifndef GUEST_INIT_TERMINAL_H
#define GUEST_INIT_TERMINAL_H

#include <stdint.h>
#include <sys/types.h>

#include "fault.h"

struct terminal {
	int master; /* what the terminal shows comes from it, keys go to it; does not block */
	int slave;  /* the terminal */
};

/*
 * Makes a terminal in /dev/pts of the calling process, which must lead a session without one. The
 * terminal becomes the session's, and belongs to uid.
 */
int terminal_make(
	struct terminal *terminal, uint32_t rows, uint32_t columns, uid_t uid, struct fault *fault);

/* Gives the terminal a size; its foreground processes get SIGWINCH. */
int terminal_resize(int master, uint32_t rows, uint32_t columns, struct fault *fault);

/* The terminal is hung up: the processes in its foreground and its session's leader get SIGHUP. */
void terminal_hang_up(int master, pid_t leader);

#endif
