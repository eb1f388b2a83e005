/* One layer: its blob, inflated and read entry by entry. */
#ifndef GUEST_INIT_UNPACK_LAYER_H
#define GUEST_INIT_UNPACK_LAYER_H

#include "support/error.h"
#include "unpack/manifest.h"
#include "unpack/unpacker.h"

/*
 * Unpacks a layer over what is there. fd: its blob, which is read
 * twice where there are lower layers. Fails with ERROR_INPUT where
 * the layer is at fault, with ERROR_GUEST else; the entry is named.
 */
int layer_unpack(
	struct unpacker *unpacker, int fd, enum layer_compression compression, struct error *err);

#endif
