/*
 * The data of a regular file: which blocks its segments take, and the copy of their bytes.
 * What no segment touches stays a hole.
 */
#ifndef LAYERVM_DISK_ASSEMBLE_FILE_H
#define LAYERVM_DISK_ASSEMBLE_FILE_H

#include <stdint.h>

#include "disk/assemble_fs.h"
#include "support/error.h"
#include "tree/tree.h"

/*
 * *blocks: what the file takes, its extent tree included. Checks what tree.h promises of
 * segments. A file over the limit of ext4, 16 TiB less a block, is an ERROR_LIMIT.
 */
int file_plan(const struct inode *inode, uint64_t *blocks, struct error *err);

/* Writes the file's data behind the data before, and then the extents into the inode. */
int file_write_data(const struct inode *inode, struct assemble_fs *f, struct assemble_inode *out,
	struct error *err);

/*
 * Has the file read from the disk that it was written to. disk: belongs to the tree. block: where
 * the writer was before file_write_data.
 */
void file_move(struct tree *tree, struct inode *inode, struct source *disk, uint32_t block);

#endif
