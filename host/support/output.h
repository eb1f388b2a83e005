/*
 * What the user has written: a file that appears whole or not at all, or a stream (standard output,
 * a descriptor, a FIFO, a device), which is written to as it is.
 */
#ifndef LAYERVM_SUPPORT_OUTPUT_H
#define LAYERVM_SUPPORT_OUTPUT_H

#include <stdbool.h>

#include "support/error.h"

struct output;

/* Whether a path is standard output: "-", "/dev/stdout" and the other names of descriptor 1. */
bool output_is_stdout(const char *path);

/*
 * Starts an output for path. A file that is not there, or is a regular one, is written under no
 * name, and appears by rename in output_commit. "-", a name of a descriptor (/dev/stdout,
 * /dev/fd/N), a FIFO and a device are streams: what is written is spooled, so that nothing
 * half-written comes out. A FIFO's reader is waited for until a signal (interrupt.h) comes. A
 * folder, a socket, and a path that cannot be written are an ERROR_OUTPUT at once.
 */
int output_open(const char *path, struct output **out, struct error *err);

/* As output_open, but a stream is not spooled: output_fd is the stream, which may not seek. */
int output_open_direct(const char *path, struct output **out, struct error *err);

/* As output_open, but only for a file: a stream is an ERROR_OUTPUT. */
int output_open_file(const char *path, struct output **out, struct error *err);

/* Whether it is a stream. */
bool output_is_stream(const struct output *out);

/* The descriptor to write to; it belongs to the output and can seek (but output_open_direct). */
int output_fd(const struct output *out);

/*
 * Flushes the file to the disk and gives it its name; an existing file is replaced at once. A
 * spooled stream is sent; a signal (interrupt.h) ends the waiting for its reader.
 */
int output_commit(struct output *out, struct error *err);

/* Frees the output; without an earlier commit nothing of a file remains. NULL is allowed. */
void output_free(struct output *out);

static inline void cleanup_output_fn(struct output **out)
{
	output_free(*out);
}
#define cleanup_output __attribute__((cleanup(cleanup_output_fn)))

#endif
