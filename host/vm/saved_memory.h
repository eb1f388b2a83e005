/*
 * The file of a saved guest's memory: what it is worth, and what of it is nothing.
 */
#ifndef LAYERVM_VM_SAVED_MEMORY_H
#define LAYERVM_VM_SAVED_MEMORY_H

#include "support/digest.h"
#include "support/error.h"

/* What messages call it. */
#define SAVED_MEMORY_NAME "the saved guest's memory"

/*
 * Makes holes of the pages that are all zeros, so that no run reads them; where the file system
 * knows no holes they stay. Fails with ERROR_INPUT, ERROR_OUTPUT, and when interrupted.
 */
int saved_memory_trim(int fd, struct error *err);

/*
 * The digest of what the memory holds, which is the same whichever of its zeros are holes. A page
 * that is one byte over and over, as the kernel fills what it has given up, is told by that byte.
 * Fails with ERROR_INPUT where the file cannot be read or has no whole number of pages, and when
 * interrupted.
 */
int saved_memory_digest(int fd, struct digest *digest, struct error *err);

#endif
