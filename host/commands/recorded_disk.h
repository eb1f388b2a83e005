/*
 * Disks that were made once and are in the cache: each under the digest of what it holds, so that
 * what has one name is the same. Who made one has a record of it elsewhere, by which it is known
 * again as the very file that was written, and whole.
 */
#ifndef LAYERVM_COMMANDS_RECORDED_DISK_H
#define LAYERVM_COMMANDS_RECORDED_DISK_H

#include "cache/cache.h"
#include "commands/base_cache.h"
#include "commands/base_record.h"
#include "support/error.h"

struct recorded_disk_kind {
	const char *kind; /* of the entries */
	const char *name; /* one of them, for messages */
};

/*
 * Gives a disk that is complete its name. *record: of the file that has it then, which may be
 * somebody else's. Errors are those of the cache folder (cache_publish), and an interrupt's: the
 * disk itself is as good as before.
 */
int recorded_disk_publish(const struct cache *cache, const struct recorded_disk_kind *kind,
	struct cache_entry *entry, struct base_record *record, struct error *err);

/*
 * Opens the disk of a record. *disk: for reading only, the caller's. One that is not what the
 * record says is removed and, as one that is gone, an ERROR_INPUT.
 */
int recorded_disk_open(const struct cache *cache, const struct recorded_disk_kind *kind,
	const struct base_record *record, enum base_check check, int *disk, struct error *err);

#endif
