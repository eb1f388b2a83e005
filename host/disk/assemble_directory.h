/*
 * The blocks of a directory, made at once from all its names: one block of entries in name
 * order, or a hash tree (kernel Documentation/filesystems/ext4/directory.rst, "Hash Tree
 * Directories") whose leaves are filled to the last entry that fits.
 */
#ifndef LAYERVM_DISK_ASSEMBLE_DIRECTORY_H
#define LAYERVM_DISK_ASSEMBLE_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk/assemble_fs.h"
#include "support/error.h"
#include "tree/tree.h"

struct hashed_name {
	uint32_t hash;
	uint32_t minor;
	const struct dentry *dentry;
};

/* The shape of one directory at a time; the memory is used again for the next. All zero: none. */
struct directory {
	const struct dentry *dentry;
	uint32_t blocks;       /* all that it takes */
	uint32_t subdirs;      /* names that are directories */
	bool indexed;          /* has a hash tree */
	uint32_t nodes;        /* index blocks between root and leaves */
	uint32_t leaves;       /* blocks of entries, of a hash tree */
	uint32_t *leaf_hashes; /* what the index says of each leaf */
	size_t leaf_capacity;
	struct hashed_name *names; /* of a hash tree, in its order */
	size_t name_count;
	size_t name_capacity;
};

void directory_free(struct directory *d);

/* The seed of all names' hashes, as four words of the superblock. */
extern const uint32_t directory_hash_seed[4];

/*
 * Finds out the shape of a directory: inode numbers may be missing yet.
 * More names than two levels of index reach (4 million long ones at least) are an ERROR_LIMIT.
 */
int directory_plan(struct directory *d, const struct dentry *dentry, struct error *err);

/* Writes the blocks of the directory that was planned last, behind the data before. */
int directory_write(const struct directory *d, struct assemble_fs *f, struct error *err);

#endif
