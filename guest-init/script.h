/* The script as a program in the image. */
#ifndef GUEST_INIT_SCRIPT_H
#define GUEST_INIT_SCRIPT_H

#include "task.h"

/* Runs the job's script, by the interpreter that protocol.h says. */
extern const struct task_program script_program;

#endif
