/* Taking away whole directories, however deep they are. */
#ifndef GUEST_INIT_UNPACK_PRUNE_H
#define GUEST_INIT_UNPACK_PRUNE_H

#include "support/error.h"
#include "unpack/marks.h"

/* Removes a directory's entry `name`, a directory or not, and all below it. */
int prune_remove(int dir, const char *name, struct error *err);

/*
 * Removes what is below a directory and has no MARK_FRESH. Directories with MARK_OPAQUE are not
 * looked through, and all that are get it: none is read twice, however often a layer asks. The
 * directories that stay keep their mtimes.
 */
int prune_lower(int dir, struct marks *marks, struct error *err);

#endif
