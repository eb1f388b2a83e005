/* Opens what the user names as an output and is no regular file: descriptors, FIFOs, devices. */
#ifndef LAYERVM_SUPPORT_STREAM_H
#define LAYERVM_SUPPORT_STREAM_H

#include <sys/stat.h>

#include "support/error.h"

/*
 * The descriptor that a path names: "-", /dev/stdin, /dev/stdout, /dev/stderr, /dev/fd/N and
 * /proc/self/fd/N. -1: it names none.
 */
int stream_number(const char *path);

/* A copy of a descriptor that this program was started with, for writing. path: for messages. */
int stream_copy(int number, const char *path, struct error *err);

/*
 * Opens a FIFO or a device for writing; the reader of a FIFO is waited for until a signal
 * (interrupt.h) comes. st: of the path. Returns the descriptor, which does not block, or an
 * ERROR_OUTPUT.
 */
int stream_open(const char *path, const struct stat *st, struct error *err);

#endif
