/* Taking away whole directories, however deep they are. */
#ifndef GUEST_INIT_UNPACK_PRUNE_H
#define GUEST_INIT_UNPACK_PRUNE_H

#include "support/error.h"

/* Removes a directory's entry `name`, a directory or not, and all below it. */
int prune_remove(int dir, const char *name, struct error *err);

/* Removes all that is below a directory. */
int prune_below(int dir, struct error *err);

#endif
