/*
 * What writer and reader of tree files share. Numbers are varints (seven bits a byte, the lowest
 * first, the highest bit says that more follow) unless their size is given; signed ones are
 * zigzag: 0, -1, 1, -2, ... A body is how many names there are in all, and how many of them the
 * base lacks; then the names that it has, in walk order:
 *
 *	byte	ENTRY_ flags
 *	up	levels from the name before to the parent of this one: 0, it is below it; not for
 *		the root
 *	name	a byte for the length, and the bytes; siblings ascend; not for the root
 *	ENTRY_LINK: the number of an inode that has a name already
 *	else:	mode, uid, gid, mtime in seconds (signed), nanoseconds, how far its number is
 *		behind the last one, less 1; then by its type:
 *		file	size; how many segments; for each: bytes of zeros before it, its length
 *			less 1, and (signed) how far it lies on the disk from where the next file
 *			would begin
 *		symlink	length of the target, and its bytes
 *		device	major, minor
 *	ENTRY_XATTRS: how many; for each: the name with a NUL, the value's length, the value
 *
 * and then those that it lacks (DENTRY_SCAFFOLD), parents before children: the same, but that
 * the parent is given by its inode number, none is a link, and inode numbers count anew from 0.
 */
#ifndef LAYERVM_TREE_TREE_FILE_FORMAT_H
#define LAYERVM_TREE_TREE_FILE_FORMAT_H

#include <stdint.h>

enum {
	ENTRY_LINK = 1,   /* another name of an inode */
	ENTRY_XATTRS = 2, /* the inode has extended attributes */
};

/* So many numbers are left out at most: ext4 keeps those between the root's and 11. */
#define TREE_FILE_NUMBERS_OUT 16u

#define TREE_FILE_MAGIC "lvm-tree"

/* Little-endian. */
struct tree_file_header {
	char magic[8];
	uint32_t version;
	uint32_t zero;
	uint64_t body; /* length in bytes */
};

/* Larger files are neither written nor read: they are held in memory whole. */
#define TREE_FILE_MAX ((uint64_t)2 << 30)

/* The most bytes that a varint of 64 bits has. */
#define VARINT_MAX 10

/* Files begin at such boundaries of a disk. */
#define TREE_FILE_ALIGN 4096u

/* Where the next file would begin. end: of the data before it. */
static inline uint64_t tree_file_aligned(uint64_t end)
{
	return (end + TREE_FILE_ALIGN - 1) / TREE_FILE_ALIGN * TREE_FILE_ALIGN;
}

#endif
