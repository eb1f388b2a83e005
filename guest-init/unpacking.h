/* The other job: the layers on the second disk, unpacked into the image's disk. */
#ifndef GUEST_INIT_UNPACKING_H
#define GUEST_INIT_UNPACKING_H

#include "task.h"

/* Has the disk with the layers mounted, and the kernel follow symlinks as an image has them. */
int unpacking_prepare(struct fault *fault);

/* Unpacks the layers: unpack/main.c. */
extern const struct task_program unpacking_program;

#endif
