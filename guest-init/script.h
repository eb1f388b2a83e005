/* The script, by the interpreter that protocol.h says. */
#ifndef GUEST_INIT_SCRIPT_H
#define GUEST_INIT_SCRIPT_H

#include "task.h"

/* Becomes the job's script; returns only where that fails. */
void script_execute(const struct job *job, struct refusal *refusal);

#endif
