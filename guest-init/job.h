/* What the host wants run: see protocol.h. */
#ifndef GUEST_INIT_JOB_H
#define GUEST_INIT_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "setup.h"

enum job_kind { JOB_SCRIPT, JOB_COMMAND, JOB_SHELL, JOB_UNPACK };

enum job_input {
	JOB_INPUT_NONE,     /* /dev/null */
	JOB_INPUT_PIPE,     /* STDIN, to its end */
	JOB_INPUT_TERMINAL, /* a terminal, of rows and columns */
};

/* All zero is a job of which nothing came yet. */
struct job {
	enum job_kind kind; /* what follows is for jobs in the image */
	char *command;
	char *cwd;
	char *user; /* NULL: uid 0 */
	char **env; /* NULL at the end; the host's, then PATH and HOME as protocol.h has them */
	size_t env_count;
	bool has_interpreter; /* the script begins with `#!` */
	enum job_input input;
	bool one_output; /* standard error is standard output */
	uint32_t rows, columns;
	const struct setup *setup; /* what the job is surrounded with */
};

enum job_next {
	JOB_TO_RUN = 0,
	JOB_NONE = 1, /* FINISH came */
};

/*
 * Receives the frames of a job up to START, or FINISH; what is for the whole run goes to setup.
 * The script is stored in the toolbox's folder. after_exit: whether frames for the job before may
 * come first. Returns an enum job_next, or -1. The caller frees the job with job_free.
 */
int job_receive(
	int channel, bool after_exit, struct setup *setup, struct job *job, struct fault *fault);

/* Gives the environment a variable that it lacks. */
int job_default_env(struct job *job, const char *key, const char *value, struct fault *fault);

/* Frees what the job holds. */
void job_free(struct job *job);
#define cleanup_job __attribute__((cleanup(job_free)))

#endif
