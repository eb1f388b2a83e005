/*
 * Host files: whole reads and writes, unnamed temporary files, and outputs that appear whole or
 * not at all. Names in messages are given by the caller.
 */
#ifndef LAYERVM_SUPPORT_FILEIO_H
#define LAYERVM_SUPPORT_FILEIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/buffer.h"
#include "support/error.h"

/* Reads exactly len bytes at offset. A shorter file is an ERROR_INPUT that names `name`. */
int file_read_at(
	int fd, void *data, size_t len, uint64_t offset, const char *name, struct error *err);

/* Writes all of the bytes, at offset or at the file's position. A full disk is an ERROR_OUTPUT. */
int file_write_at(
	int fd, const void *data, size_t len, uint64_t offset, const char *name, struct error *err);
int file_write(int fd, const void *data, size_t len, const char *name, struct error *err);

/*
 * Copies len bytes between files at the given offsets, by copy_file_range (or a reflink) where
 * the file systems allow it, through a buffer else.
 */
int file_copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t len,
	const char *name, struct error *err);

/*
 * Adds the whole of a file or pipe to out; more than max bytes is an ERROR_INPUT. A signal
 * (interrupt.h) ends the waiting for a pipe or a terminal.
 */
int file_read_all(int fd, size_t max, struct buffer *out, const char *name, struct error *err);

/*
 * A new file without a name, in $TMPDIR or /var/tmp, opened for reading and writing with
 * O_CLOEXEC: gone with the last descriptor, however the program ends. Returns the descriptor.
 */
int file_temporary(struct error *err);

/* A file that is written under no name and appears by rename in output_commit. */
struct output;

/*
 * Starts an output for path. "-" is standard output, spooled, so that nothing half-written comes
 * out. A folder, a device or another file that is not regular, and a path whose folder is missing
 * or not writable, are an ERROR_OUTPUT at once.
 */
int output_open(const char *path, struct output **out, struct error *err);

/* The descriptor to write to; it belongs to the output and can seek. */
int output_fd(const struct output *out);

/*
 * Flushes the file to the disk and gives it its name; an existing file is replaced at once. To
 * standard output a signal (interrupt.h) ends the waiting for the reader.
 */
int output_commit(struct output *out, struct error *err);

/* Frees the output; without an earlier commit nothing of it remains. NULL is allowed. */
void output_free(struct output *out);

static inline void cleanup_output_fn(struct output **out)
{
	output_free(*out);
}
#define cleanup_output __attribute__((cleanup(cleanup_output_fn)))

#endif
