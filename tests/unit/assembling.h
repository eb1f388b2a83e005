/* Small trees made by hand, and the round trip of a tree through a disk. */
#ifndef LAYERVM_TESTS_ASSEMBLING_H
#define LAYERVM_TESTS_ASSEMBLING_H

#include <stddef.h>
#include <stdint.h>

#include "tree/tree.h"

#define MIB (UINT64_C(1) << 20)

/* Assembles into a file without a name, which e2fsck must find nothing in. */
int assemble(struct tree *tree, uint64_t room);

/* What is read back from the disk must be the tree, inode numbers included. */
void check_round_trip(struct tree *tree);

/* A new inode with a name. */
struct inode *add(struct tree *tree, struct dentry *dir, const char *name, uint32_t mode);

/* Gives a file len bytes that differ from one another. */
void set_bytes(struct tree *tree, struct inode *inode, size_t len);

/* Gives a symlink a target of len bytes. */
void set_target(struct tree *tree, struct inode *inode, size_t len);

#endif
