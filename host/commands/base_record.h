/*
 * How the cache keeps a base: the disk under its digest (disk_digest), so that what has one name is
 * the same; and under the key of the base a file with a record, which names the disk and the
 * file that it is in, and the tree behind it (tree_file.h). Disks of folders have such a record too
 * (bind_disk.h), without a tree.
 */
#ifndef LAYERVM_COMMANDS_BASE_RECORD_H
#define LAYERVM_COMMANDS_BASE_RECORD_H

#include <stdint.h>

#include "commands/base_cache.h"

#define BASE_KIND_DISK "disk"
#define BASE_KIND_TREE "tree"

/* Where the tree begins. */
#define BASE_TREE_OFFSET 4096u

/*
 * A disk's file as it is told from others. Its times are of no use: the cache sets them, to know
 * what was used last.
 */
struct base_identity {
	uint64_t ino;
	uint64_t size;
	int64_t birth_sec; /* 0, with birth_nsec: the file system does not know */
	uint64_t birth_nsec;
	struct digest head; /* of the first block, with the superblock */
};

struct base_record {
	struct digest disk;
	struct base_identity identity;
};

struct digest base_key(const struct base_id *id);

int base_identity_read(int disk, struct base_identity *out, struct error *err);
bool base_identity_equal(const struct base_identity *a, const struct base_identity *b);

/* Writes the record in front of a tree, and reads it; what is no record is an ERROR_INPUT. */
int base_record_write(int fd, const struct base_record *record, struct error *err);
int base_record_read(int fd, struct base_record *record, struct error *err);

#endif
