/* The shells that run what has no interpreter of its own. */
#ifndef GUEST_INIT_SHELL_H
#define GUEST_INIT_SHELL_H

#include "task.h"

/* Runs the job's script by a shell; returns only where that fails. */
void shell_execute_script(const struct job *job, struct refusal *refusal);

/* Runs the job's line by the plainest shell; returns only where that fails. */
void shell_execute_command(const struct job *job, struct refusal *refusal);

/* Becomes a shell for a user at the terminal; returns only where that fails. */
void shell_execute_interactive(const struct job *job, struct refusal *refusal);

#endif
