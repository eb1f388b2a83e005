/* Names that take something away: OCI image-spec, layer.md, "Whiteouts". */
#ifndef GUEST_INIT_UNPACK_WHITEOUT_H
#define GUEST_INIT_UNPACK_WHITEOUT_H

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

#endif
