/* The new layer's files in a folder of the host. */
#ifndef LAYERVM_HOSTDIR_LAYOUT_H
#define LAYERVM_HOSTDIR_LAYOUT_H

#include "hostdir/idmap.h"
#include "tree/tree.h"

/* A file of the host that an inode was laid out as. */
struct laid_out {
	struct inode *inode;  /* of the tree */
	struct statx st;      /* as it was when all was laid out */
	struct inode *result; /* what became of it in the tree; NULL: not looked at yet */
};

struct layout {
	struct idmap files; /* host file -> struct laid_out of the tree's memory */
	bool user_xattrs;   /* the file system took all user.* attributes */
};

/* Whether a name belongs in the folder: the new layer holds it, or something below it. */
bool layout_has(const struct dentry *dentry);

/*
 * The permissions that a laid-out file has: the inode's, with those added for the owner without
 * which nobody but root could work on it.
 */
uint32_t layout_mode(uint32_t mode);

/*
 * Lays out what changes_mark marked, device nodes excepted, in a folder.
 * fd: the folder, empty and ours; it becomes the tree's root directory, mode and mtime included.
 * layout: zeroed; freed by the caller, on errors too. Contents, types, modes, mtimes, hard links
 * and, where the file system has them, user.* attributes are the tree's; owners are not.
 * Returns ERROR_OUTPUT with the path for what cannot be written, ERROR_INPUT of a source.
 */
int layout_write(struct tree *tree, int fd, struct layout *layout, struct error *err);

void layout_free(struct layout *layout);
#define cleanup_layout __attribute__((cleanup(layout_free)))

#endif
