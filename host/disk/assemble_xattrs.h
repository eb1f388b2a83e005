/*
 * Extended attributes on ext4 (kernel Documentation/filesystems/ext4/attributes.rst): libext2fs
 * puts each behind the inode's fields where it fits, else in one block, else its value into an
 * inode of its own. Which of these, and how many blocks and inodes, is known beforehand.
 */
#ifndef LAYERVM_DISK_ASSEMBLE_XATTRS_H
#define LAYERVM_DISK_ASSEMBLE_XATTRS_H

#include <stdint.h>

#include "disk/assemble_fs.h"
#include "support/error.h"
#include "tree/tree.h"

/* What the attributes of one inode take beside it. */
struct xattrs_plan {
	uint32_t blocks;       /* 0 or 1 */
	uint32_t inodes;       /* values with an inode of their own */
	uint32_t value_blocks; /* that these values take */
};

/*
 * Plans the attributes (NULL: none). A name that ext4 has no prefix for, an ACL that is none, a
 * value over the kernel's limit (65,536 bytes) or more attributes than fit: an ERROR_LIMIT that
 * names the attribute.
 */
int xattrs_plan(const struct xattrs *xattrs, struct xattrs_plan *plan, struct error *err);

/*
 * Writes the attributes of an inode that is on the disk, as planned. Where values get inodes, these
 * take the lowest numbers that are free: all others are in use by then.
 */
int xattrs_write(struct assemble_fs *f, uint32_t ino, const struct xattrs *xattrs,
	const struct xattrs_plan *plan, struct error *err);

#endif
