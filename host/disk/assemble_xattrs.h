/*
 * Extended attributes as ext4 stores them (kernel Documentation/filesystems/ext4/attributes.rst):
 * behind the inode's fields while they fit there, the rest in one block.
 */
#ifndef LAYERVM_DISK_ASSEMBLE_XATTRS_H
#define LAYERVM_DISK_ASSEMBLE_XATTRS_H

#include <stdbool.h>
#include <stdint.h>

#include "disk/disk.h"
#include "support/error.h"
#include "tree/tree.h"

/* What is left of an inode of 256 bytes behind its 160 bytes of fields. */
#define XATTRS_IN_INODE 96

struct encoded_xattrs {
	bool has_block; /* else block means nothing */
	uint8_t in_inode[XATTRS_IN_INODE] __attribute__((aligned(4)));
	uint8_t block[DISK_BLOCK_SIZE] __attribute__((aligned(4)));
};

/*
 * Encodes the attributes (NULL: none). ACLs, which come as setxattr(2) takes them, get ext4's own
 * form. A name that ext4 has no prefix for, an ACL that is none, or more than fits: an
 * ERROR_LIMIT that names the attribute.
 */
int xattrs_encode(const struct xattrs *xattrs, struct encoded_xattrs *out, struct error *err);

#endif
