/* The job from its start to the end of the last process. */
#ifndef GUEST_INIT_RUN_H
#define GUEST_INIT_RUN_H

#include "fault.h"
#include "job.h"

/*
 * Runs the job's program: sends its output as it comes, gives it its input, obeys TERMINATE, ends
 * every process that is left when it ends, and sends EXIT.
 */
int run_job(int channel, struct job *job, struct fault *fault);

#endif
