/*
 * One tar header as bytes: ustar where the values fit, preceded by a pax extended header for
 * those that do not (POSIX.1-2017 pax, "pax Extended Header"; xattrs as SCHILY.xattr records).
 */
#ifndef LAYERVM_LAYER_TAR_HEADER_H
#define LAYERVM_LAYER_TAR_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/buffer.h"
#include "support/ustar.h"
#include "tree/tree.h"

struct tar_header {
	const char *path; /* "etc/passwd", "./" for the root, directories with a final slash */
	char type;        /* typeflag: '0' file, '1' hard link, '2' symlink, '3' to '6' */
	uint32_t mode;    /* permission bits, 07777 */
	uint32_t uid, gid;
	uint64_t size; /* bytes of data that follow; 0 but for files */
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	const char *target; /* of hard links and symlinks, else NULL */
	uint32_t major, minor;
	const struct xattrs *xattrs; /* or NULL */
	bool acl_text; /* ACLs among them as SCHILY.acl.* too, which tar --acls reads */
};

/* Adds the header to out, 512 bytes or more, always whole blocks. */
void tar_header_add(struct buffer *out, const struct tar_header *header);

#endif
