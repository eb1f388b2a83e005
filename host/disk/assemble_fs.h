/*
 * The file system that libext2fs writes: superblock, descriptors, bitmaps and counts, inodes,
 * extent trees. Where things lie is the geometry's decision: the library is told, and asks for
 * its own blocks (extent nodes, attribute blocks) behind the data that was written last.
 */
#ifndef LAYERVM_DISK_ASSEMBLE_FS_H
#define LAYERVM_DISK_ASSEMBLE_FS_H

#include <stdbool.h>
#include <stdint.h>

#include <ext2fs/ext2fs.h>

#include "disk/assemble_geometry.h"
#include "disk/assemble_io.h"
#include "support/error.h"

/* What is left of an inode behind its fields, for attributes. */
#define ASSEMBLE_INODE_REST (GEOMETRY_INODE_SIZE - (int)sizeof(struct ext2_inode_large))

/* An inode as it lies in the table. */
struct assemble_inode {
	struct ext2_inode_large fields;
	uint8_t rest[ASSEMBLE_INODE_REST];
};

/* Must not be moved while it is open. All zero: not open. */
struct assemble_fs {
	ext2_filsys fs;
	struct assemble_io io;
	uint64_t marked;               /* all blocks below it are marked as used */
	struct ext2_inode_large empty; /* the extent tree of a file without blocks */
};

/* Starts a file system on a file of zeros. fd: stays the caller's. */
int assemble_fs_open(
	struct assemble_fs *f, int fd, const struct geometry *geometry, struct error *err);

/* Frees all; what was not finished is not written. */
void assemble_fs_free(struct assemble_fs *f);

/* The block that the next byte of data goes to: data is written in whole blocks. */
static inline uint64_t assemble_fs_next(const struct assemble_fs *f)
{
	return writer_offset(&f->io.data) / GEOMETRY_BLOCK_SIZE;
}

/* Blocks of a file that lie one after another on the disk. */
struct assemble_run {
	uint64_t logical;
	uint64_t physical;
	uint64_t blocks;
};

/*
 * The extent tree of an inode whose data was just written. Between open and close nothing else is
 * done with the file system.
 */
struct assemble_extents {
	struct assemble_fs *f;
	struct assemble_inode *inode;
	uint32_t ino;
	ext2_extent_handle_t handle; /* NULL: there is no extent yet */
};

/*
 * inode: its size is set; gets the tree, and the count of all blocks. first: the block where its
 * data begins.
 */
void assemble_extents_open(struct assemble_extents *x, struct assemble_fs *f, uint32_t ino,
	uint64_t first, struct assemble_inode *inode);

/* Adds blocks, in ascending order of logical ones. */
int assemble_extents_add(
	struct assemble_extents *x, const struct assemble_run *run, struct error *err);

void assemble_extents_close(struct assemble_extents *x);
#define cleanup_extents_writer __attribute__((cleanup(assemble_extents_close)))

/* The extent tree of an inode whose data is one run, written from the block `first` on. */
int assemble_fs_map(struct assemble_fs *f, uint32_t ino, uint64_t first,
	struct assemble_inode *inode, struct error *err);

/* How many extents a run of blocks takes. */
uint64_t assemble_extent_count(uint64_t blocks);

/* How many blocks outside of the inode libext2fs makes for the tree of so many extents. */
uint64_t assemble_extent_nodes(uint64_t extents);

/* Writes an inode, and counts its number as used. */
int assemble_fs_put(
	struct assemble_fs *f, uint32_t ino, struct assemble_inode *inode, struct error *err);

/* Marks the data, and writes all that is not written yet. */
int assemble_fs_finish(struct assemble_fs *f, struct error *err);

#endif
