/*
 * What a forked child of this program is left with before it meets hostile bytes: the descriptors
 * it needs, and no system call that gives it another. The child takes the steps in the order in
 * which they stand here.
 */
#ifndef LAYERVM_SUPPORT_CONFINE_H
#define LAYERVM_SUPPORT_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "support/error.h"

/*
 * Sanitizers make calls of their own, and tell on standard error what they find: a program that
 * has them goes without the filter of calls, and keeps that descriptor.
 */
#ifdef __SANITIZE_ADDRESS__
#define CONFINE_CALLS 0
#else
#define CONFINE_CALLS 1
#endif

/*
 * The child dies with the thread that forked it, leaves signals to its parent to act on, and
 * writes no core, which would hold what its parent had in memory. parent: getpid() before the
 * fork; a child whose parent is gone already ends here.
 */
int confine_process(pid_t parent, struct error *err);

/* No file gets a byte beyond the first max of them: such a write fails with EFBIG. */
int confine_size(uint64_t max, struct error *err);

/* Closes all descriptors but these; negative ones are none. fds: sorted on return. */
int confine_files(int *fds, size_t count, struct error *err);

/* The system calls that are left, besides those that end the process or go on with a call. */
struct confinement {
	const int *calls; /* numbers, with any arguments */
	size_t call_count;
	const int *writable; /* the descriptors for write(2); negative ones are none */
	size_t writable_count;
	bool memory; /* more memory may be had, never executable, and never a file's own pages */
};

/* Any other call ends the process from now on. What fails is an ERROR_INTERNAL. */
int confine_calls(const struct confinement *allowed, struct error *err);

#endif
