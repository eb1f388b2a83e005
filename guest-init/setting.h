/* A file of /proc/sys or the like that takes a word. */
#ifndef GUEST_INIT_SETTING_H
#define GUEST_INIT_SETTING_H

#include "fault.h"

/* Writes a word to it. Where the kernel has no such file, errno is ENOENT. */
int setting_write(const char *path, const char *word, struct fault *fault);

#endif
