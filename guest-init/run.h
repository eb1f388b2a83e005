/* The job from its start to the end of the last process. */
#ifndef GUEST_INIT_RUN_H
#define GUEST_INIT_RUN_H

#include "fault.h"
#include "input.h"
#include "job.h"
#include "task.h"

/* What the jobs of a run share. It stays where it is made, as long as init lives. */
struct runner {
	int channel;
	int children;       /* signalfd for SIGCHLD */
	int vmstat;         /* /proc/vmstat */
	uint32_t oom_kills; /* as it had them after the job before */
	struct task task;   /* the process that is the next job's, or the job's */
	struct input input; /* of the job; most of its room is never touched */
};

/* Makes a runner, which is prepared for one job. */
int run_init(struct runner *runner, int channel, struct fault *fault);

/* Prepares it for a further job: makes the process that waits to be the job's. */
int run_prepare(struct runner *runner, struct fault *fault);

/*
 * Runs the job's program: sends its output as it comes, gives it its input, obeys TERMINATE, ends
 * every process that is left when it ends, and sends EXIT.
 */
int run_job(struct runner *runner, struct job *job, struct fault *fault);

#endif
