/* The image's file system, and what is known while a layer is unpacked into it. */
#ifndef GUEST_INIT_UNPACK_UNPACKER_H
#define GUEST_INIT_UNPACK_UNPACKER_H

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>

#include "support/error.h"
#include "unpack/marks.h"
#include "unpack/place.h"

struct unpacker {
	int root; /* the image's root directory */
	uint64_t root_ino;
	bool has_lower;           /* a layer was unpacked before this one */
	struct marks marks;       /* of this layer; none are kept where has_lower is false */
	struct directory current; /* that the last entry went into: the next one's, often */
	bool current_marked;      /* it, and what is above it, is given by this layer */
};

/* An unpacker for the image at a path. Fails with ERROR_GUEST. */
int unpacker_open(const char *path, struct unpacker *unpacker, struct error *err);

/* Unpacks one entry, with its data where it has any. Fails with words that do not name it. */
int unpacker_apply(struct unpacker *unpacker, struct archive *archive, struct archive_entry *entry,
	struct error *err);

/* Ends a layer: all mtimes are as they should be, the next layer may come. */
int unpacker_end_layer(struct unpacker *unpacker, struct error *err);

/* Closes and frees what it holds. */
void unpacker_free(struct unpacker *unpacker);
#define cleanup_unpacker __attribute__((cleanup(unpacker_free)))

#endif
