/*
 * A folder of the host as a disk, made once for one content and kept in the cache folder.
 *
 * The key is a digest over all that reaches the disk, the bytes of the files among it. Trusting
 * stat data instead (device, inode, size, times) would spare reading them, but takes a copy of the
 * folder or a fresh checkout for another one, and believes file systems whose times are coarse or
 * set by others. Of 8,700 files with 170 MB on a busy machine of two cores, stat data take 0.05 s,
 * the digest 0.4 s, and making the disk 1.4 s, where the guest's boot takes 2 s.
 */
#ifndef LAYERVM_COMMANDS_BIND_DISK_H
#define LAYERVM_COMMANDS_BIND_DISK_H

#include "cache/cache.h"
#include "commands/base_cache.h"
#include "support/report.h"

/*
 * The disk is under its digest, and under the folder's key is the record (base_record.h) that names
 * it: a disk is known again as the file that was made, and is read once after each boot; with
 * BASE_CHECK_BYTES each time.
 */
#define BIND_KIND_RECORD "bind"
#define BIND_KIND_DISK "bind-disk"

/* Bytes that can be written over the disk, where its mount allows it. */
#define BIND_DISK_ROOM (UINT64_C(1) << 30)

/* A folder, and how sure of its disk in the cache the caller is to be. */
struct bind_disk_source {
	const char *folder;
	enum base_check check;
};

/*
 * Gives an ext4 disk with what is in a folder: *fd, opened for reading, the caller's; a file of
 * VM_DISK_SIZE, however much the file system takes of it. All is owned
 * by 0:0; modes, times, hard links, symlinks and extended attributes are kept (hostdir.h). Fails
 * with ERROR_INPUT for what cannot be read, ERROR_LIMIT for what does not fit, ERROR_OUTPUT.
 */
int bind_disk_open(const struct cache *cache, const struct bind_disk_source *source,
	struct report *report, int *fd, struct error *err);

#endif
