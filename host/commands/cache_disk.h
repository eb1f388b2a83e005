/*
 * The disks of cache mounts: writable, each kept under the digest of its ID in the cache folder,
 * and in the hands of one run at a time.
 */
#ifndef LAYERVM_COMMANDS_CACHE_DISK_H
#define LAYERVM_COMMANDS_CACHE_DISK_H

#include "cache/cache.h"
#include "support/report.h"

/* The most that a cache holds, in bytes; what it does not hold takes no space on the host. */
#define CACHE_DISK_ROOM (UINT64_C(16) << 30)

/*
 * Gives the disk of an ID, locked: *fd, opened for reading and writing, the caller's; the lock
 * goes with it. The file is VM_DISK_SIZE long, however much the file system takes of it. Where
 * another run has the disk, a note says so and the call waits. A disk that was not left clean is
 * replaced by an empty one, with a warning: it is a cache. Fails with ERROR_OUTPUT, and with
 * ERROR_INTERRUPTED.
 */
int cache_disk_open(const struct cache *cache, const char *id, struct report *report, int *fd,
	struct error *err);

/*
 * Whether the disk was let go of as it should be by the guest that had it; the next run begins with
 * an empty one where not. For disks that no guest has at the moment.
 */
bool cache_disk_is_clean(int fd);

#endif
