/* Names that say something about others: OCI image-spec, layer.md, "Whiteouts"; and aufs's own. */
#ifndef GUEST_INIT_UNPACK_WHITEOUT_H
#define GUEST_INIT_UNPACK_WHITEOUT_H

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define AUFS_PREFIX ".wh..wh."
#define AUFS_LINKED ".wh..wh.plnk"

#endif
