/*
 * A tree as a file, for a disk that is kept: all that the tree says but the files' data, which is
 * on the disk. Whoever reads it has the tree that was merged from the layers, without them. The
 * file may be damaged: what does not hold together is refused.
 *
 * It is: a header (tree_file_format.h), then the names in walk order as bytes and varints, then a
 * SHA-256 of all that is before it.
 */
#ifndef LAYERVM_TREE_TREE_FILE_H
#define LAYERVM_TREE_TREE_FILE_H

#include <stdint.h>

#include "support/error.h"
#include "tree/tree.h"

/* Raised with every change of the format; part of what a kept file is looked up by. */
#define TREE_FILE_VERSION 1u

/*
 * Writes the tree to fd, from offset on. It must be as disk_assemble leaves it, sorted, with
 * numbers that ascend and data that is read from `disk` alone; and without changes: every name is
 * in both states, but those with DENTRY_SCAFFOLD, which the base lacks and which are no hard links.
 * Else it is an
 * ERROR_INTERNAL; fails with ERROR_OUTPUT where the file cannot be written.
 */
int tree_file_write(
	struct tree *tree, const struct source *disk, int fd, uint64_t offset, struct error *err);

/*
 * Reads a tree that ends with the file, from offset on, into one with nothing but a root: names,
 * inodes with their numbers, DENTRY_SCAFFOLD, both states; sorted but for what the base lacks.
 * disk: what files are read from, of disk_size bytes; belongs to the tree. Damage is an ERROR_INPUT
 * that says where; the tree is of no use then but to be freed.
 */
int tree_file_read(int fd, uint64_t offset, struct source *disk, uint64_t disk_size,
	struct tree *tree, struct error *err);

#endif
