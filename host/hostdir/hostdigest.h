/* What is in a folder of the host, as one digest: the same for whatever gives the same tree. */
#ifndef LAYERVM_HOSTDIR_HOSTDIGEST_H
#define LAYERVM_HOSTDIR_HOSTDIGEST_H

#include <stdbool.h>

#include "support/digest.h"
#include "support/error.h"

/*
 * The digest of all that hostdir_copy_in takes from a folder, or from a single file under the name
 * that path gives it: names, types, modes, mtimes, hard links among them, extended attributes,
 * targets of symlinks, device numbers and bytes. Owners are not among it, as the copy has its own;
 * nor is the folder itself. keep_dirlinks: as in struct hostdir_options. Everything is read: stat
 * data would take a fresh checkout for another folder, and believe file systems whose times are
 * coarse. Fails as hostdir_copy_in does.
 */
int hostdigest(const char *path, bool keep_dirlinks, struct digest *digest, struct error *err);

#endif
