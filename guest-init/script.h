/* The script as a process. */
#ifndef GUEST_INIT_SCRIPT_H
#define GUEST_INIT_SCRIPT_H

#include <stdint.h>
#include <sys/types.h>

#include "fault.h"
#include "job.h"

struct script {
	pid_t pid;
	int out; /* what it writes to standard output and standard error; not blocking */
	int err;
	uint32_t refused; /* 126 or 127 where it could not be run, else 0 */
	struct fault reason;
};

/*
 * Starts the script in the image, in its own session. Returns when its program runs, or when
 * it is known that it cannot, which is no fault of init's: then script->refused says so, and pid
 * is a process that ends by itself.
 */
int script_start(const struct job *job, struct script *script, struct fault *fault);

#endif
