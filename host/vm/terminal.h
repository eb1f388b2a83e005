/*
 * The user's terminal while a job in the guest has it: raw, followed in its size, and given back
 * as it was on every way out. Knows nothing of the guest.
 *
 * A guard, a process of its own, restores the terminal where layervm ends without doing so, by
 * SIGKILL or a crash. It is forked by terminal_open, so that is called before any thread starts.
 */
#ifndef LAYERVM_VM_TERMINAL_H
#define LAYERVM_VM_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include "support/error.h"

struct terminal;

/*
 * Opens the terminal that a descriptor is one of, or the controlling terminal for fd -1. Nothing
 * of it changes yet. Fails with ERROR_USAGE where there is none. The caller frees it with
 * terminal_free.
 */
int terminal_open(int fd, struct terminal **terminal, struct error *err);

/* Descriptor for reading and writing; the terminal's own. Writing may find no room (EAGAIN). */
int terminal_fd(const struct terminal *terminal);

/* Its size in characters; 24 by 80 where it does not know. */
void terminal_size(const struct terminal *terminal, uint32_t *rows, uint32_t *columns);

/*
 * Passes every key on as it is from now on, and holds SIGWINCH, SIGTSTP and SIGCONT back for
 * terminal_take_signals. Does nothing where it is raw.
 */
int terminal_raw(struct terminal *terminal, struct error *err);

/* Readable when terminal_take_signals has something to do; -1 while it is not raw. */
int terminal_signal_fd(const struct terminal *terminal);

/*
 * Acts on the signals that came: on SIGTSTP gives the terminal back, stops the process, and is
 * raw again once it goes on. *resized: whether the size may be another one now.
 */
int terminal_take_signals(struct terminal *terminal, bool *resized, struct error *err);

/* How the job that had the terminal ended. */
enum terminal_end {
	TERMINAL_TIDY,   /* it did, and left the screen as it wants it */
	TERMINAL_UNTIDY, /* in the midst of its work: leaves the alternate screen, shows the cursor,
			    and so on */
};

/* Gives the terminal back as it was. Does nothing where it is not raw. */
void terminal_restore(struct terminal *terminal, enum terminal_end end);

/* Gives the terminal back, ends the guard, and frees it. NULL is allowed. */
void terminal_free(struct terminal *terminal);

static inline void cleanup_terminal_fn(struct terminal **terminal)
{
	terminal_free(*terminal);
}
#define cleanup_terminal __attribute__((cleanup(cleanup_terminal_fn)))

#endif
