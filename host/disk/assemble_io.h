/*
 * The disk as libext2fs sees it while it is made: an io_manager over a descriptor. Two writers
 * gather what comes in order, the blocks of the inode table and those of the data; the rest is
 * written where it goes. libext2fs writes a block again for each inode or extent in it, and reads
 * it back before: both end in the writers' memory.
 */
#ifndef LAYERVM_DISK_ASSEMBLE_IO_H
#define LAYERVM_DISK_ASSEMBLE_IO_H

#include <stdbool.h>
#include <stdint.h>

#include <ext2fs/ext2fs.h>

#include "disk/assemble_writer.h"
#include "support/error.h"

/* Must not be moved while a file system is open on it. */
struct assemble_io {
	char name[8]; /* first: the manager's open is given nothing but the name */
	int fd;
	struct struct_io_channel channel;
	uint64_t table; /* where the inode table begins, in bytes: below, zeros stay holes */
	uint64_t start; /* where the data begins */
	struct disk_writer inodes;
	struct disk_writer data;
	int failed;       /* a negative errno value, once a read or write has failed */
	struct error err; /* why */
};

/* The manager to open a file system with, under assemble_io.name. */
extern const struct struct_io_manager assemble_io_manager;

/*
 * For a disk of zeros that is to be written. fd: open for reading and writing; stays the caller's.
 * table, start: offsets in bytes, multiples of the block size. Free it with assemble_io_free.
 */
void assemble_io_init(struct assemble_io *io, int fd, uint64_t table, uint64_t start);

void assemble_io_free(struct assemble_io *io);

/* Hands all that was gathered to the kernel. */
int assemble_io_flush(struct assemble_io *io, struct error *err);

/*
 * What a code of libext2fs means, as a negative errno value and words: the io's own error where it
 * failed, else an ERROR_INTERNAL. doing: what libext2fs was asked for, such as "write an inode".
 */
int assemble_io_error(
	const struct assemble_io *io, errcode_t code, const char *doing, struct error *err);

#endif
