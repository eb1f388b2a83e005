/*
 * extraCommands: the new layer's files in a private folder of the host, a script that works on
 * them as the invoking user, and what it made of them back in the tree.
 */
#ifndef LAYERVM_HOSTDIR_WORKDIR_H
#define LAYERVM_HOSTDIR_WORKDIR_H

#include "support/report.h"
#include "tree/tree.h"

struct workdir_options {
	uint32_t uid, gid;     /* owner of what the script makes */
	struct report *report; /* takes the script's output, and warnings */
};

/*
 * Lays out what differs between the tree's base (tree_freeze) and current state (changes.h) in a
 * new folder, private below one of mode 0700 in the temporary folder (temporary.h), runs script
 * there with the host's bash -e (sh where there is no bash), standard input empty, umask 022, and
 * brings the tree's current state to what it left:
 * - what it left alone (same file, content, mode and times) keeps its inode: owner, mode, xattrs,
 *   under another name as well;
 * - a file or directory that it changed, or replaced by one of the same type as `sed -i` does,
 *   keeps its owner; its content, mode and mtime are new, xattrs see reinode.h;
 * - what it made belongs to uid:gid; chown has no effect;
 * - what it removed is no longer in the layer: the base's entry, where there is one, shows again.
 * Device nodes are not laid out (that takes root) and stay as they are, unless the script puts
 * something in their place or removes their directory. Deleted names of the base are no files
 * here and stay deleted, also below a directory that the script removes or makes again.
 * While the script runs, the owner may read and write every file and enter every directory, as
 * root may in the image; files that it did not chmod get their own mode back.
 * Data of new files is copied to an unnamed temporary file. The folder is removed on every way
 * out, what is mounted in it excepted. Symlinks of the image lead where they lead on the host,
 * for the script; nothing here follows them.
 * A script that fails is an ERROR_SCRIPT with its status; a signal that arrives meanwhile
 * (interrupt.h) ends the script's process group and is an ERROR_INTERRUPTED (hostscript.h says
 * how); ERROR_OUTPUT: the folder cannot be written; ERROR_INPUT: it cannot be read back, because
 * something is mounted in it for one. Errors leave the tree as it was, but for its marks.
 */
int workdir_run(struct tree *tree, const char *script, const struct workdir_options *options,
	struct error *err);

#endif
