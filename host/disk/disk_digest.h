/* What a sparse file holds, as a digest: in time that grows with its data, not with its length. */
#ifndef LAYERVM_DISK_DISK_DIGEST_H
#define LAYERVM_DISK_DISK_DIGEST_H

#include "support/digest.h"
#include "support/error.h"

/*
 * The digest of a disk: SHA-256 of the number (eight bytes, little-endian) and the bytes of every
 * block of 4096 that is not all zeros, and of the length at last. Where the file system keeps holes
 * makes no difference. fd: stays open; its position moves. Fails with ERROR_INPUT, and when
 * interrupted.
 */
int disk_digest(int fd, struct digest *out, struct error *err);

#endif
