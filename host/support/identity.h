/* Which file something is, and when it was changed last: what it holds is known by that. */
#ifndef LAYERVM_SUPPORT_IDENTITY_H
#define LAYERVM_SUPPORT_IDENTITY_H

#include <stdint.h>
#include <sys/stat.h>

/* Fields of 64 bits without gaps, to be hashed or compared as bytes. */
struct file_identity {
	uint64_t device, inode, size;
	uint64_t mtime_sec, mtime_nsec;
	uint64_t ctime_sec, ctime_nsec;
};

/* The path has no part in it: files are known by their numbers. */
static inline struct file_identity file_identity(const struct stat *st)
{
	return (struct file_identity){
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_sec = (uint64_t)st->st_mtim.tv_sec,
		.mtime_nsec = (uint64_t)st->st_mtim.tv_nsec,
		.ctime_sec = (uint64_t)st->st_ctim.tv_sec,
		.ctime_nsec = (uint64_t)st->st_ctim.tv_nsec,
	};
}

/* Bytes that the file takes on its file system: st_blocks counts in 512 everywhere (inode(7)). */
static inline uint64_t file_allocated(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

#endif
