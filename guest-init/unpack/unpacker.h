/* The image's file system, and what is known while a layer is unpacked into it. */
#ifndef GUEST_INIT_UNPACK_UNPACKER_H
#define GUEST_INIT_UNPACK_UNPACKER_H

#include <stdbool.h>

#include "support/buffer.h"
#include "support/error.h"
#include "unpack/member.h"
#include "unpack/place.h"

struct unpacker {
	struct place_root root;   /* the image's root directory */
	bool has_lower;           /* a layer was unpacked before this one */
	struct directory current; /* that the last entry went into: the next one's, often */
	struct place_root linked; /* what keeps files of kind NAME_LINKED; fd is -1: nothing */
	struct buffer whiteouts;  /* paths of this layer's, each with its NUL */
};
#define UNPACKER_NONE                                                                              \
	((struct unpacker){.root = {.fd = -1}, .current = DIRECTORY_NONE, .linked = {.fd = -1}})

/* An unpacker for the image at a path. Fails with ERROR_GUEST. */
int unpacker_open(const char *path, struct unpacker *unpacker, struct error *err);

/*
 * A layer over others is read twice. The first time each member is looked at for what it hides of
 * the lower layers, and then unpacker_hide takes all of that away. Whiteouts do not follow a
 * symlink that this layer takes away or replaces by a directory: what it leads to is to stay.
 */
int unpacker_look(struct unpacker *unpacker, struct member *member, struct error *err);
int unpacker_hide(struct unpacker *unpacker, struct error *err);

/* Unpacks one member, with its data where it has any. Fails with words that do not name it. */
int unpacker_apply(struct unpacker *unpacker, struct member *member, struct error *err);

/* Ends a layer: all mtimes are as they should be, the next layer may come. */
int unpacker_end_layer(struct unpacker *unpacker, struct error *err);

/* Closes and frees what it holds. */
void unpacker_free(struct unpacker *unpacker);
#define cleanup_unpacker __attribute__((cleanup(unpacker_free)))

#endif
