/*
 * Folders of the host: copyToRoot brings one into the tree; extraCommands works on the new
 * layer's files in one.
 */
#ifndef LAYERVM_HOSTDIR_HOSTDIR_H
#define LAYERVM_HOSTDIR_HOSTDIR_H

#include "support/report.h"
#include "tree/tree.h"

struct hostdir_options {
	uint32_t uid, gid;  /* owner of everything that is copied */
	bool keep_dirlinks; /* keepContentsDirlinks: see below */
	bool keep_modes;    /* keepContentsModes: a directory that is there keeps mode and owner */
	struct report *report; /* for warnings */
};

/*
 * Copies what is inside a folder (or a single file, under its own name) over the tree's root.
 * keep_dirlinks false is `rsync -k`: a symlink in the folder that leads to a directory becomes a
 * directory with its content. keep_dirlinks true is `rsync -K`: symlinks in the folder stay, and
 * a directory that meets a symlink to a directory in the tree goes into that directory. Without
 * it, such a directory takes the symlink's place, with a warning that names keepContentsDirlinks.
 * path: of the host, for messages. Files' data is copied once to an unnamed temporary file, so
 * that the disk and the layer hold the same bytes whatever happens to the folder meanwhile.
 * Modes, mtimes, hard links within the folder and extended attributes (hostinode.h) are kept;
 * sockets are left out with a warning; only symlinks that -k follows lead out of the folder.
 *
 * What is there already: a directory gets the folder's mtime, and without keep_modes its mode and
 * owner, and keeps its names; a warning tells of the first directories whose mode or owner becomes
 * another one; a file, or a directory that holds nothing, gives way to what is copied; a directory
 * that holds something gives way to a directory only, and to anything else is an ERROR_INPUT, as
 * rsync refuses it without --force. The root itself keeps its metadata, unlike under `rsync -a`:
 * a folder that mktemp made, mode 0700, must not shut an image's `/` to everybody but root.
 * Symlinks of the tree are resolved within its root. Several folders are several calls, in order.
 * Other errors: ERROR_INPUT for what is missing, unreadable or changed meanwhile, with path and
 * reason; ERROR_OUTPUT for the temporary file; ERROR_INTERRUPTED.
 */
int hostdir_copy_in(struct tree *tree, const char *path, const struct hostdir_options *options,
	struct error *err);

#endif
