/*
 * SIGINT, SIGTERM and SIGHUP as a question that long work asks, and as a descriptor to poll.
 * Signals belong to the process, so this is the one place with state of its own.
 */
#ifndef LAYERVM_SUPPORT_INTERRUPT_H
#define LAYERVM_SUPPORT_INTERRUPT_H

#include "support/error.h"

/* Catches the three signals from now on. Called once, by main. */
int interrupt_setup(struct error *err);

/* 0, or an ERROR_INTERRUPTED once a signal came. Cheap: made to be called for every entry. */
int interrupt_check(struct error *err);

/*
 * Waits until fd can be read or written (events: as poll has them) or has failed. A signal ends
 * the wait, as an ERROR_INTERRUPTED; where there is none, what is to be said after a signal still
 * goes out. Whoever reads or writes a pipe without this is held by its other end: a signal does not
 * end the call. name: for messages.
 */
int interrupt_wait(int fd, short events, const char *name, struct error *err);

/*
 * The pause, in milliseconds since the first signal, before which no further one counts:
 * timeout(1), a shell's pipeline, docker stop and CI signal a command and its group, which is one
 * wish told twice.
 */
#define INTERRUPT_PAUSE_MS 1000

/*
 * How many signals counted so far: 0; 1; 2 once another one came INTERRUPT_PAUSE_MS or more after
 * the first one, which means "at once". The first signal is the one that errors name.
 */
unsigned interrupt_count(void);

/* Readable (one byte a signal) after a signal; -1 before interrupt_setup. Belongs to this file. */
int interrupt_fd(void);

#endif
