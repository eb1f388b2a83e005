/*
 * The inode that a file of the working folder stands for, after the script: the one it was laid
 * out from, that one changed, or a new one.
 */
#ifndef LAYERVM_HOSTDIR_REINODE_H
#define LAYERVM_HOSTDIR_REINODE_H

#include "hostdir/layout.h"
#include "hostdir/scan.h"
#include "hostdir/spool.h"

struct reinode {
	struct spool spool; /* takes new data */
	const struct layout *layout;
	uint32_t uid, gid;  /* owner of what is new */
	struct idmap links; /* new files with several names */
};

/*
 * Gives the inode for an entry, not yet linked.
 * laid_out: what was laid out under the entry's path, NULL where nothing was.
 * - The same file as was laid out, untouched: that file's inode.
 * - The same file changed, wherever it is now, or another one of the same type in its place (as
 *   editors and `sed -i` leave it): a new inode that keeps the owner, what of the mode is not
 *   the script's (layout_mode), and the extended attributes that could not be laid out.
 *   security.capability goes with the content that it was for, as the kernel has it.
 * - Everything else: a new inode that belongs to uid:gid.
 */
int reinode_get(struct reinode *re, const struct scan_entry *entry, const struct dentry *laid_out,
	struct inode **out, struct error *err);

void reinode_free(struct reinode *re);

#endif
