/*
 * Host files: whole reads and writes. Names in messages are given by the caller. Files that have
 * no name are in temporary.h, those that are written for the user in output.h.
 */
#ifndef LAYERVM_SUPPORT_FILEIO_H
#define LAYERVM_SUPPORT_FILEIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/buffer.h"
#include "support/error.h"
#include "support/output.h"
#include "support/temporary.h"

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
 * Opens a file, pipe or device that the user has named, for reading. A FIFO's other end is waited
 * for, as open(2) does, but a signal (interrupt.h) ends the waiting. Returns the descriptor, or an
 * error of this kind that names the path; or ERROR_INTERRUPTED.
 */
int file_open(const char *path, enum error_kind kind, struct error *err);

#endif
