/*
 * POSIX ACLs as tar headers have them (SCHILY.acl.*), which are text there. A tree has them as the
 * extended attributes of Linux: struct posix_acl_xattr_header and its entries,
 * <linux/posix_acl_xattr.h>.
 */
#ifndef LAYERVM_LAYER_ACL_H
#define LAYERVM_LAYER_ACL_H

#include <stdbool.h>
#include <stddef.h>

#include "support/buffer.h"

/* The keyword for an attribute's ACL, "SCHILY.acl.access"; NULL: the attribute is no ACL. */
const char *acl_keyword(const char *xattr_name);

/*
 * Adds an attribute's ACL as text, "user::rw-,user:7:r--,...": owners are numbers. Returns false,
 * and adds nothing, where the bytes are no ACL.
 */
bool acl_add_text(struct buffer *out, const void *value, size_t len);

#endif
