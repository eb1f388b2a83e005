/* Inodes of a tree from what a scan of a host folder finds (scan.h), piece by piece. */
#ifndef LAYERVM_HOSTDIR_HOSTINODE_H
#define LAYERVM_HOSTDIR_HOSTINODE_H

#include "hostdir/scan.h"
#include "hostdir/spool.h"
#include "tree/tree.h"

/*
 * A new inode with the type, mode, mtime, device numbers and symlink target of an entry, owned by
 * 0:0, without data and xattrs.
 */
int hostinode_new(
	struct tree *tree, const struct scan_entry *entry, struct inode **out, struct error *err);

/* Copies the data of an entry that is a regular file. */
int hostinode_read_data(struct spool *spool, const struct scan_entry *entry, struct inode *inode,
	struct error *err);

/*
 * Gives the inode the entry's extended attributes as far as they can be read: user.*, security.*
 * and POSIX ACLs. Left out is what belongs to the host rather than to the file: labels and
 * signatures (security.selinux, .SMACK64*, .evm, .ima), and trusted.*, which root alone can see,
 * so that the same folder gives the same image to everybody.
 * like: NULL, or attributes that the inode has as well where the entry has no such one.
 */
int hostinode_read_xattrs(struct tree *tree, const struct scan_entry *entry,
	const struct xattrs *like, struct inode *inode, struct error *err);

#endif
