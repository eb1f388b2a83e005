/* What a job runs, as a process with its standard files. */
#ifndef GUEST_INIT_TASK_H
#define GUEST_INIT_TASK_H

#include <stdint.h>
#include <sys/types.h>

#include "fault.h"
#include "job.h"
#include "user.h"

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
	/* Goes where the program is to run, and tells who it runs as. Returns 0, or -1. */
	int (*enter)(struct job *job, struct user *user, struct refusal *refusal);
	/* Executes it; returns only where that fails. */
	void (*execute)(const struct job *job, struct refusal *refusal);
};

/* The process's own descriptors. */
struct task_files {
	int in, out, err;
	int control; /* to init */
};

/* What the process that waits is told. It shares init's memory until it is the program. */
struct task_order {
	const struct task_program *program;
	struct job *job;
};

/*
 * Made by task_prepare, where it stays until it is closed. Descriptors are -1 where the job has no
 * such thing; none of those that the job reads or writes blocks.
 */
struct task {
	pid_t pid;
	int in;           /* takes standard input, or the keys of a terminal */
	int out;          /* what it writes to standard output, or a terminal shows */
	int err;          /* what it writes to standard error */
	int terminal;     /* held open, so that out has no end before the last process is gone */
	uint32_t refused; /* 126 or 127 where it could not be run, else 0 */
	struct fault reason;

	int control; /* to the process, until it is the program */
	struct task_order order;
	struct task_files files;
	int (*place)(struct fault *fault);
	char *stack; /* of the process, until then; kept for the next one */
};

/* All zero but for the descriptors. */
#define TASK_NONE                                                                                  \
	((struct task){.pid = -1,                                                                  \
		.in = -1,                                                                          \
		.out = -1,                                                                         \
		.err = -1,                                                                         \
		.terminal = -1,                                                                    \
		.control = -1,                                                                     \
		.files = {-1, -1, -1, -1}})

/*
 * Makes a process that waits to become the program of a job which is not known yet, so that a
 * guest can be saved with it. task: TASK_NONE, or closed. place: what the process does before it
 * waits; a fault of it is one of the call. The caller closes the descriptors with task_close,
 * in any case.
 */
int task_prepare(struct task *task, int (*place)(struct fault *fault), struct fault *fault);

/*
 * Has the process that waits become a job's program, in its own session, with the standard files
 * that the job says. Returns when it runs, or when it is known that it cannot, which is no fault
 * of init's: then task->refused says so, and pid is a process that ends by itself.
 */
int task_start(const struct task_program *program, struct job *job, struct task *task,
	struct fault *fault);

/* Asks the job to end: see FRAME_TERMINATE. */
void task_terminate(const struct task *task);

void task_close(struct task *task);

#endif
