/* The disk that our guest wrote, which is a pair of files, as one. */
#ifndef LAYERVM_GUESTFS_HELPER_FLATTEN_H
#define LAYERVM_GUESTFS_HELPER_FLATTEN_H

#include "support/error.h"

/*
 * Makes a raw file of base and overlay, with the holes of both. libguestfs opens disks by their
 * names and has no way to be told of a backing file that an image does not name.
 * path: of the new file.
 */
int flatten(int base, int overlay, const char *path, struct error *err);

#endif
