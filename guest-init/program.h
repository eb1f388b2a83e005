/* A job's program in the image: script, command or shell. */
#ifndef GUEST_INIT_PROGRAM_H
#define GUEST_INIT_PROGRAM_H

#include "task.h"

/* Enters the image with what surrounds it, as the job's user, and runs what the job says. */
extern const struct task_program image_program;

#endif
