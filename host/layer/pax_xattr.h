/*
 * Extended attributes in the records of a pax header: those named SCHILY.xattr.*, which container
 * runtimes read. They pass over what other tools write beside or instead: LIBARCHIVE.xattr.*,
 * RHT.security.selinux, and ACLs as text (SCHILY.acl.*).
 */
#ifndef LAYERVM_LAYER_PAX_XATTR_H
#define LAYERVM_LAYER_PAX_XATTR_H

#include <stddef.h>

#include "support/buffer.h"
#include "support/error.h"

#define PAX_XATTRS_MAX 256

struct pax_xattr {
	const char *name; /* "user.x" */
	const void *value;
	size_t len;
};

/*
 * Gives the attributes that Linux has (xattr(7), "Extended attribute namespaces"), in the order of
 * the records: of equal names the last counts. Names and values lie in the records, which are
 * changed and of use for nothing else afterwards. Fails with ERROR_INPUT on more than
 * PAX_XATTRS_MAX, and on names and values that are longer than Linux takes.
 */
int pax_xattrs(struct buffer *records, struct pax_xattr out[PAX_XATTRS_MAX], size_t *count,
	struct error *err);

#endif
