/* What a job runs, as a process with its output in pipes. */
#ifndef GUEST_INIT_TASK_H
#define GUEST_INIT_TASK_H

#include <stdint.h>
#include <sys/types.h>

#include "fault.h"
#include "job.h"

/* Why a program cannot be run, as a shell has the numbers. */
enum {
	TASK_CANNOT_RUN = 126,
	TASK_NOT_FOUND = 127,
};

/* What the child says where it cannot become the program. */
struct refusal {
	uint32_t code; /* 126, 127, or 0 for a fault of init's */
	struct fault fault;
};

/* The steps from a new process to a program. Both run in the child, and set refusal. */
struct task_program {
	/* Goes where the program is to run. Returns 0, or -1. */
	int (*enter)(const struct job *job, struct refusal *refusal);
	/* Executes it; returns only where that fails. */
	void (*execute)(const struct job *job, struct refusal *refusal);
};

struct task {
	pid_t pid;
	int out; /* what it writes to standard output and standard error; not blocking */
	int err;
	uint32_t refused; /* 126 or 127 where it could not be run, else 0 */
	struct fault reason;
};

/*
 * Starts a program in its own session, with empty standard input. Returns when it runs, or when
 * it is known that it cannot, which is no fault of init's: then task->refused says so, and pid is
 * a process that ends by itself.
 */
int task_start(const struct task_program *program, const struct job *job, struct task *task,
	struct fault *fault);

#endif
