/*
 * /etc/resolv.conf and /etc/hosts of the guest: files of ours in the place of the image's, which
 * come back after the run unless it changed them.
 */
#ifndef LAYERVM_COMMANDS_HOST_FILES_H
#define LAYERVM_COMMANDS_HOST_FILES_H

#include "spec/extras.h"
#include "support/error.h"
#include "tree/tree.h"

#define HOST_FILES_COUNT 2

/* A file that was put into the tree. */
struct host_file {
	char *path;           /* in the tree; NULL: none was put there */
	char *text;           /* what is in it */
	struct inode *before; /* of the tree; NULL: there was no such name */
};

struct host_files {
	struct host_file files[HOST_FILES_COUNT];
};

/*
 * Puts into the tree's current state what the spec takes: resolv.conf, which names a name server,
 * where there is a network; hosts, where there is a network or a name to add. A symlink there is
 * replaced, not followed; one that leads to /etc is followed. Fails with ERROR_SPEC where /etc is
 * no folder. The caller frees *files by host_files_free in every case.
 */
int host_files_put(const struct guest_extras_spec *spec, struct tree *tree,
	struct host_files *files, struct error *err);

/*
 * Gives each file that still has the content, mode and owner with which it was put there what was
 * there before. Errors are those of reading the tree.
 */
int host_files_restore(const struct host_files *files, struct tree *tree, struct error *err);

void host_files_free(struct host_files *files);

#endif
