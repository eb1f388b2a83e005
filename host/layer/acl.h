/*
 * POSIX ACLs of tar headers (SCHILY.acl.*), which are text there, as the extended attributes that
 * Linux has for them: struct posix_acl_xattr_header and its entries, <linux/posix_acl_xattr.h>.
 */
#ifndef LAYERVM_LAYER_ACL_H
#define LAYERVM_LAYER_ACL_H

#include <archive_entry.h>
#include <stdbool.h>

#include "support/buffer.h"

/* The attribute's bytes for an entry's access or default ACL; none where it has no such ACL. */
void acl_to_xattr(struct archive_entry *entry, bool is_default, struct buffer *out);

#endif
