/*
 * Files and folders that are gone with the program. They are in $TMPDIR where that is set: whoever
 * sets TMPDIR has chosen a place with room, so that no other one is taken. Else they are in the
 * first of /var/tmp, /tmp and the output's folder that takes them.
 */
#ifndef LAYERVM_SUPPORT_TEMPORARY_H
#define LAYERVM_SUPPORT_TEMPORARY_H

#include "support/error.h"

/*
 * Names the output, in whose folder temporary files are where no other folder takes them. Called
 * before there are threads. path: a copy of its folder is kept; nothing of a stream (output.h).
 */
void temporary_also_beside(const char *path);

/*
 * A new file without a name, opened for reading and writing with O_CLOEXEC: gone with the last
 * descriptor, however the program ends. Returns the descriptor, or an ERROR_OUTPUT that names the
 * folders that were tried.
 */
int file_temporary(struct error *err);

/*
 * Makes a new folder of mode 0700. Returns 0 and its path in *path, which the caller frees and the
 * folder of which the caller removes; or an ERROR_OUTPUT as file_temporary.
 */
int folder_temporary(char **path, struct error *err);

/*
 * A new file without a name in this folder, or, on file systems that have none such, one with a
 * hidden name, *name, which the caller frees and unlinks. mode: of the file, less the umask.
 * Returns the descriptor, or -1 and errno.
 */
int file_temporary_in(const char *folder, unsigned mode, char **name);

#endif
