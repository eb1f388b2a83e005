/* What an inode has besides its type and its data: owner, mode, attributes, time. */
#ifndef GUEST_INIT_UNPACK_ATTRIBUTES_H
#define GUEST_INIT_UNPACK_ATTRIBUTES_H

#include <archive_entry.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "support/buffer.h"
#include "support/error.h"

struct attribute {
	const char *name;
	const void *value;
	size_t len;
};

#define ATTRIBUTES_MAX 258 /* the most that one inode gets, ACLs included */

struct attributes {
	mode_t mode; /* type and permission bits */
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
	size_t count;
	struct attribute items[ATTRIBUTES_MAX]; /* in order: of equal names the last counts */
	struct buffer access_acl;               /* what an item's value points to */
	struct buffer default_acl;
};

/*
 * Reads what an entry says. Names and values of items belong to the entry. Fails with ERROR_INPUT
 * where Linux has no such owner, or less room for attributes. The caller frees the result with
 * attributes_free.
 */
int attributes_read(struct archive_entry *entry, struct attributes *out, struct error *err);
void attributes_free(struct attributes *attributes);
#define cleanup_attributes __attribute__((cleanup(attributes_free)))

/*
 * Gives an inode these attributes and no others. fd: may be an O_PATH one, which is how symlinks
 * and devices are opened. Times that ext4 cannot tell become the nearest one. Fails with
 * ERROR_INPUT where the kernel does not take or keep what the layer says.
 */
int attributes_set(const struct attributes *attributes, int fd, struct error *err);

#endif
