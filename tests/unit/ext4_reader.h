/* An ext4 file read back by libext2fs and judged by e2fsck: neither is what wrote it. */
#ifndef LAYERVM_TESTS_EXT4_READER_H
#define LAYERVM_TESTS_EXT4_READER_H

#include <ext2fs/ext2fs.h>

#include "tree/tree.h"

/* Opens the file system in a file; fails the test where that cannot be. */
ext2_filsys ext4_open(int fd);

/* The inode that has a path ("/a/b"). */
struct ext2_inode_large ext4_inode(ext2_filsys fs, const char *path);

/* Reads len bytes of a file at offset. */
void ext4_read(ext2_filsys fs, const char *path, void *data, size_t len, uint64_t offset);

/* Everything that is in a file system, as a tree. */
struct tree *ext4_tree(int fd);

/* Fails the test, and shows why, unless `e2fsck -fn` finds nothing. */
void ext4_check(int fd);

#endif
