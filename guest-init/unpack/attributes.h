/* What an inode has besides its type and its data: owner, mode, attributes, time. */
#ifndef GUEST_INIT_UNPACK_ATTRIBUTES_H
#define GUEST_INIT_UNPACK_ATTRIBUTES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "layer/pax_xattr.h"
#include "support/error.h"
#include "unpack/member.h"

struct attributes {
	mode_t mode; /* type and permission bits */
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
	size_t count;
	struct pax_xattr items[PAX_XATTRS_MAX]; /* in order: of equal names the last counts */
};

/*
 * Reads what a member says. Names and values of items belong to the member, whose pax records are
 * used up. Fails with ERROR_INPUT where Linux has no such owner, or less room for attributes.
 */
int attributes_read(struct member *member, struct attributes *out, struct error *err);

/*
 * Gives an inode these attributes and no others. fd: may be an O_PATH one, which is how symlinks
 * and devices are opened. Times that ext4 cannot tell become the nearest one. Fails with
 * ERROR_INPUT where the kernel does not take or keep what the layer says.
 */
int attributes_set(const struct attributes *attributes, int fd, struct error *err);

#endif
