/*
 * What the parts of disk_reread share: the file system's geometry, which is the base's, and what
 * is known of each inode. Everything of the guest's is read through the view and checked here;
 * libext2fs gives the names of the on-disk fields and nothing else, so that no other code meets
 * the hostile disk. A fault of the disk is an ERROR_GUEST with the code EUCLEAN.
 * On-disk formats: the kernel's Documentation/filesystems/ext4.
 */
#ifndef LAYERVM_DISK_REREAD_H
#define LAYERVM_DISK_REREAD_H

#include <ext2fs/ext2_fs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "disk/disk.h"
#include "disk/disk_view.h"
#include "support/buffer.h"
#include "support/memory.h"

#define REREAD_INODE_SIZE 256

/* Names that are read from one disk at most: a hostile one could fill the host's memory. */
#define REREAD_NAMES_MAX 10000000

/*
 * Bytes of attributes' values with an inode of their own, at most: many files may share a value,
 * and each gets a copy.
 */
#define REREAD_VALUES_MAX (256u << 20)

union raw_inode {
	struct ext2_inode_large fields;
	uint8_t bytes[REREAD_INODE_SIZE];
};

/* What is known of an inode number. */
enum {
	REREAD_CHANGED = 1,  /* its bytes on the disk differ from the base's */
	REREAD_ABOVE = 2,    /* a directory of the tree with a changed inode somewhere below it */
	REREAD_REACHED = 4,  /* a directory that the walk has come to */
	REREAD_RESOLVED = 8, /* its state after the run was read, and is in `resolved` */
};

struct reread {
	struct tree *tree;
	struct disk_view *view;       /* belongs to the tree */
	struct disk_sockets *sockets; /* NULL: not wanted */
	uint64_t block_count;
	uint32_t inode_count;
	uint32_t inodes_per_group;
	uint32_t first_inode; /* lower numbers but the root's are reserved */
	uint32_t group_count;
	uint64_t *inode_tables; /* block number, by group */
	uint64_t names_read;
	/* Zeroed, so that of a large disk's only those parts take memory that are written to. */
	uint8_t *flags;               /* by inode number, 0 unused */
	struct inode **resolved;      /* by inode number */
	struct reread_value **values; /* of attributes, by inode number; the tree's memory */
	uint64_t value_bytes;         /* of them that attributes have so far */
	uint8_t *claimed;             /* a bit for each block: it belongs to a file that was read */
};

/*
 * Reads the base's superblock and group descriptors, an ERROR_INPUT where they are not such as
 * disk_assemble writes, and checks that the guest left the same file system, cleanly unmounted.
 * Fills in the geometry.
 */
int reread_geometry(struct reread *r, struct error *err);

/* Reads an inode as the guest left it, and as it found it. ino is in 1..inode_count. */
int reread_raw_inode(const struct reread *r, uint32_t ino, union raw_inode *raw, struct error *err);
int reread_raw_base_inode(
	const struct reread *r, uint32_t ino, union raw_inode *raw, struct error *err);

/* The blocks of a file. In segments the source is the view, all values are whole blocks. */
struct extents {
	struct segment *items;
	size_t count;
	size_t capacity;
	bool held; /* the overlay holds one of the data or index blocks */
};

static inline void cleanup_extents_fn(struct extents *extents)
{
	free(extents->items);
}
#define cleanup_extents __attribute__((cleanup(cleanup_extents_fn)))

/*
 * Reads the extent tree of an inode. Preallocated extents, which read as zeros, are left out.
 * All blocks are claimed: a block that two files have is an error, so that what a hostile disk
 * costs is bounded by its size. For each inode at most once.
 */
int reread_extents(
	struct reread *r, const union raw_inode *raw, struct extents *out, struct error *err);

/* Reads the extended attributes in the inode and in its block, with the kernel's names. */
int reread_xattrs(
	struct reread *r, const union raw_inode *raw, const struct xattrs **out, struct error *err);

/*
 * The state of an inode after the run: the tree's own object where nothing that counts changed,
 * else a new one. An inode that is free, or of a kind that cannot be read, is an error. Sockets
 * are returned too.
 */
int reread_inode(struct reread *r, uint32_t ino, struct inode **out, struct error *err);

/* The value of an attribute that has an inode of its own. */
struct reread_value {
	size_t len;
	uint8_t bytes[];
};

/*
 * Reads the value of `len` bytes that inode `ino` holds (the feature ea_inode). All attributes that
 * share it get the same object, which is the tree's.
 */
int reread_value(struct reread *r, uint32_t ino, size_t len, const struct reread_value **out,
	struct error *err);

struct entry {
	const char *name; /* not terminated; in the list's buffer or the tree */
	uint32_t ino;
	uint16_t name_len;
};

/* Names in a directory. */
struct entries {
	struct entry *items;
	size_t count;
	size_t capacity;
	struct buffer names;
};

static inline void cleanup_entries_fn(struct entries *entries)
{
	free(entries->items);
	buffer_free(&entries->names);
}
#define cleanup_entries __attribute__((cleanup(cleanup_entries_fn)))

/*
 * Reads a directory from the disk: all names but "." and "..", which must be the directory and
 * its parent; sorted by name, none twice, with inode numbers that files can have.
 */
int reread_directory(
	struct reread *r, uint32_t ino, uint32_t parent, struct entries *out, struct error *err);

/* The entry of that name, or NULL. The list is sorted. */
const struct entry *entries_find(const struct entries *entries, const char *name, size_t len);

#endif
