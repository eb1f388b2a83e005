/* Waiting for a lock of an open file, which an interrupt (interrupt.h) or a time ends. */
#ifndef LAYERVM_CACHE_LOCK_WAIT_H
#define LAYERVM_CACHE_LOCK_WAIT_H

#include "support/error.h"

/*
 * lock: takes the lock as flock(2) or F_OFD_SETLKW does, for the open file and so for everybody
 * who has its descriptor; called in a child, with async-signal-safe functions only; returns 0 once
 * it has it. seconds: how long at most; 0: no limit. Returns 1 with the lock, 0 when the time is
 * over, or an error.
 */
int lock_wait(int (*lock)(const void *what), const void *what, unsigned seconds, struct error *err);

#endif
