/* Image archives, and what must hold of every image that was opened. */
#ifndef LAYERVM_TESTS_FUZZ_ARCHIVE_H
#define LAYERVM_TESTS_FUZZ_ARCHIVE_H

#include <json-c/json.h>

#include "fuzz.h"
#include "image/image.h"
#include "support/buffer.h"

/* Adds a regular file to a tar, and the tar's end. */
void archive_add(struct buffer *tar, const char *name, const void *data, size_t len);
void archive_end(struct buffer *tar);

/* Temporary files are to be in memory. Called once. */
void archive_initialize(void);

/* Opens bytes as an archive, or a folder of the host, as far as it is one; NULL else. */
struct image *archive_open(const void *data, size_t size);
struct image *archive_open_folder(const char *path);

/*
 * Makes a config of the image and the spec's `config` (an object of valid JSON, or NULL) and, where
 * that is taken, writes the image: what is read of it again is the same.
 */
void archive_check(const struct image *image, json_object *spec_config);

#endif
