/* libguestfs's own errors as ours. */
#ifndef LAYERVM_GUESTFS_HELPER_FAULT_H
#define LAYERVM_GUESTFS_HELPER_FAULT_H

#include <guestfs.h>

#include "support/error.h"

/*
 * Sets the error to "WHAT: the first line of libguestfs's last error"; further lines are advice
 * for its own users. Returns -EIO.
 */
int fault(guestfs_h *g, enum error_kind kind, const char *what, struct error *err);

#endif
