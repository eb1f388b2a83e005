/*
 * POSIX ACLs of tar headers (SCHILY.acl.*), which are text there, as the extended attributes that
 * Linux has for them: struct posix_acl_xattr_header and its entries, <linux/posix_acl_xattr.h>.
 */
#ifndef LAYERVM_LAYER_ACL_H
#define LAYERVM_LAYER_ACL_H

#include <archive_entry.h>
#include <stdbool.h>
#include <stdint.h>

#include "support/buffer.h"
#include "support/error.h"

/*
 * The permission bits of an entry with its access ACL: where the ACL has a mask, that is what
 * stat(2) shows as the group's (acl(5), "CORRESPONDENCE"); libarchive gives the owning group's.
 */
uint32_t acl_mode(struct archive_entry *entry, uint32_t mode);

/*
 * The attribute's bytes for an entry's access or default ACL; none where it has no such ACL.
 * A user or group without a number is an ERROR_INPUT: names are the image's own affair.
 */
int acl_to_xattr(
	struct archive_entry *entry, bool is_default, struct buffer *out, struct error *err);

#endif
