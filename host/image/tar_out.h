/*
 * The outer tar of an image archive: plain ustar headers (POSIX.1-2017 pax, "ustar Interchange
 * Format") with owner 0 and time 0, and a pax size record where a size needs more than eleven
 * octal digits.
 */
#ifndef LAYERVM_IMAGE_TAR_OUT_H
#define LAYERVM_IMAGE_TAR_OUT_H

#include <stddef.h>
#include <stdint.h>

#include "image/sink.h"

/* Longest member name, in bytes. */
#define TAR_OUT_NAME_MAX 100u

/* A folder; its name ends with '/'. */
int tar_out_folder(struct sink *sink, const char *name, struct error *err);

/* A file in steps: its header, then its bytes, which the caller writes, then the padding. */
int tar_out_file_header(struct sink *sink, const char *name, uint64_t size, struct error *err);
int tar_out_padding(struct sink *sink, uint64_t size, struct error *err);

/* A file with the given bytes. */
int tar_out_bytes(
	struct sink *sink, const char *name, const void *data, size_t len, struct error *err);

/* The two blocks of zeros at the end. */
int tar_out_end(struct sink *sink, struct error *err);

#endif
