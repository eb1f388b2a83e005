/*
 * Disks. disk_assemble takes a tree and gives a raw ext4 file; overlay_create gives the qcow2
 * file that takes the guest's writes; disk_reread brings what the guest changed back into the
 * tree. Knows ext4 and qcow2; nothing of layers, images or QEMU. libext2fs writes the disk, and
 * reads what layervm wrote. What the guest wrote is read by code of its own, in a confined process:
 * the library finds no differences, claims no blocks, and trusts a disk as e2fsck leaves it.
 * On-disk formats: the kernel's Documentation/filesystems/ext4 and QEMU's docs/interop/qcow2.txt.
 */
#ifndef LAYERVM_DISK_DISK_H
#define LAYERVM_DISK_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "support/error.h"
#include "tree/tree.h"

#define DISK_BLOCK_SIZE 4096

/*
 * Another number wherever disk_assemble may make other bytes of the same tree: its own version and
 * libext2fs's. Disks that are kept are looked up by it.
 */
uint64_t disk_format(void);

struct disk_options {
	/*
	 * Bytes free for the guest beyond what the tree takes; at least 1 MiB. With them comes one
	 * inode for each 4 KiB; for each 16 KiB where the disk would be too large otherwise.
	 */
	uint64_t room;
	/*
	 * The file has this length already, and keeps it: somebody may know it by then. 0: it is
	 * empty, and gets the file system's length.
	 */
	uint64_t file_size;
	/*
	 * The file as a source that belongs to the tree: all regular files are read from it
	 * afterwards, and the sources that they had are needed no more. NULL, and after a failure:
	 * they keep theirs.
	 */
	struct source *home;
};

/*
 * Writes the tree's current state to an empty file as an ext4 file system without a journal:
 * block size 4096, inode size 256, extents, fixed UUID, hash seed and times. The same tree gives
 * the same bytes, in whatever order its names came: it is sorted. Gives all inodes of the
 * current state their numbers (tree_set_number); those of the base state alone get 0. Modes, owners
 * (32 bits), mtimes with nanoseconds, hard links, devices, fifos, symlinks and extended attributes
 * are kept; holes stay holes. An mtime that ext4 cannot tell (before 1901, after 2446) becomes the
 * nearest one, in the tree too. There is no lost+found, as the image has none; e2fsck does not ask
 * for one. fd: a regular file of zeros, open for reading and writing; stays open. *size: of the
 * file system in bytes; free on it is the room and what the kernel keeps back, 2 % or 16 MiB. Fails
 * with ERROR_LIMIT where the disk would be larger than file_size or than an overlay can be, 64 GiB,
 * before anything is written; with ERROR_LIMIT, naming the path, where an inode does not fit ext4:
 * a file over 16 TiB or with more than 65,000 names, attributes with names other than user.*,
 * trusted.*, security.* and ACLs, with a value of more than 65,536 bytes, or with names of more
 * than about 4,000 bytes together; with ERROR_INPUT where a
 * source cannot be read; with ERROR_OUTPUT where the file cannot be written; and when interrupted.
 */
int disk_assemble(struct tree *tree, int fd, const struct disk_options *options, uint64_t *size,
	struct error *err);

/* What the superblock of a disk that disk_assemble made says of it. */
struct disk_state {
	uint64_t size;   /* of the file system in bytes: the file may be longer */
	uint64_t inodes; /* that it has, free ones too */
};

/*
 * Reads the superblock with libext2fs: of a disk that no guest wrote to, or that disk_is_sound has
 * accepted. Fails with ERROR_INTERNAL where there is no file system.
 */
int disk_state(int fd, struct disk_state *state, struct error *err);

/*
 * Whether the superblock of a disk that a guest may have written is one of disk_assemble's: the
 * same block size, no other features, a size from 1 block to size_max bytes, unmounted cleanly,
 * without errors and orphans. The superblock is hostile: no library sees it.
 */
bool disk_is_sound(int fd, uint64_t size_max);

/* The size alone. */
int disk_size(int fd, uint64_t *size, struct error *err);

/*
 * Writes an empty qcow2 image (version 3, clusters of 4 KiB, no backing file named) of a virtual
 * size in bytes to an empty file.
 */
int overlay_create(int fd, uint64_t size, struct error *err);

/* The sockets that a guest left, which the tree does not take: an image cannot hold them. */
#define DISK_SOCKETS_NAMED 3
#define DISK_SOCKET_PATH_MAX 512
struct disk_sockets {
	uint64_t count;
	/* The first ones' paths, as the guest wrote them; of a longer one the beginning. */
	char paths[DISK_SOCKETS_NAMED][DISK_SOCKET_PATH_MAX];
};

/*
 * Brings the tree's current state to what the guest left: base is the file that disk_assemble
 * wrote for this same tree (its inodes' numbers stand), overlay the qcow2 file over it after the
 * run. Both are taken as hostile. Only inode-table blocks and directories that the overlay holds
 * are read. New regular files get a source that reads the pair of files; base and overlay are
 * duplicated and stay readable as long as the tree lives. atime and ctime are no change.
 * Fails with ERROR_GUEST where the file system is damaged: what, which inode, which path; with
 * ERROR_LIMIT where names and attributes take more memory than tree_check allows, or values with an
 * inode of their own more than 256 MiB together.
 */
int disk_reread(struct tree *tree, int base, int overlay, struct error *err);

/*
 * The same, but both descriptors are taken over, whatever is returned: none is made. sockets:
 * filled with those that were found among what changed; all zero before; NULL: not wanted.
 */
int disk_reread_own(
	struct tree *tree, int base, int overlay, struct disk_sockets *sockets, struct error *err);

#endif
