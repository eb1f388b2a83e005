/* Files beneath a folder of the host, by name: regular ones, reached through no symlink. */
#ifndef LAYERVM_IMAGE_FOLDER_H
#define LAYERVM_IMAGE_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

/* A file that is open. */
struct folder_file {
	char *name; /* normalised */
	int fd;
	uint64_t size;
};

struct folder {
	int fd;
	const char *path; /* for messages; borrowed */
	struct folder_file *files;
	size_t count, capacity;
};

/* Closes the files, and the folder's own descriptor. */
void folder_close(struct folder *folder);

/*
 * The file of that name, which stays open with the folder: the same one for every call. Nothing of
 * that name gives -ENOENT; a symlink on the way, what is no regular file and a name that leads out
 * of the folder are errors too: all are ERROR_INPUTs.
 */
int folder_open(
	struct folder *folder, const char *name, const struct folder_file **out, struct error *err);

#endif
