/* Names of a layer's members: cleaned, measured, and told apart by what they mean. */
#ifndef LAYERVM_LAYER_MEMBER_PATH_H
#define LAYERVM_LAYER_MEMBER_PATH_H

#include <linux/limits.h>
#include <stddef.h>

#include "support/error.h"

/* A member whose name begins so takes a name of the layers below away (layer.md, "Whiteouts"). */
#define WHITEOUT_PREFIX ".wh."

/* A whiteout's name is longer than the path that it takes away. */
#define MEMBER_PATH_SIZE (PATH_MAX + sizeof(WHITEOUT_PREFIX) - 1)

/* A member's name without ".", ".." and empty parts: "a/b"; "" for the root. */
struct member_path {
	size_t len;
	size_t last; /* where the last part begins */
	char text[MEMBER_PATH_SIZE];
};

enum member_kind {
	MEMBER_ENTRY,
	MEMBER_WHITEOUT, /* ".wh.NAME" */
	MEMBER_OPAQUE,   /* ".wh..wh..opq" */
	MEMBER_LINKED,   /* ".wh..wh.plnk/NAME": aufs's name for a file that has several */
	MEMBER_NOTE,     /* what else aufs writes for itself, all that is below it included */
};

/*
 * Cleans a name as its words say, whatever symlinks there are: "a/../b" is "b", as umoci,
 * containerd and Docker read it. Fails with ERROR_INPUT on ".." that leads out of the image, on
 * parts over 255 bytes, and on PATH_MAX bytes or more, which no system call takes; the prefix of a
 * whiteout counts in neither.
 */
int member_path_clean(const char *name, struct member_path *out, struct error *err);

enum member_kind member_path_kind(const struct member_path *path);

#endif
