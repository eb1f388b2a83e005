/* What the host wants run: see protocol.h. */
#ifndef GUEST_INIT_JOB_H
#define GUEST_INIT_JOB_H

#include <stdbool.h>
#include <stddef.h>

#include "fault.h"

enum job_kind { JOB_SCRIPT, JOB_UNPACK };

struct job {
	enum job_kind kind; /* what follows is for JOB_SCRIPT */
	char *cwd;
	char **env; /* NULL at the end; the host's, then PATH and HOME as protocol.h has them */
	size_t env_count;
	bool has_interpreter; /* the script begins with `#!` */
};

/* Receives the frames up to START, and stores the script in the toolbox's folder. */
int job_receive(int channel, struct job *job, struct fault *fault);

#endif
