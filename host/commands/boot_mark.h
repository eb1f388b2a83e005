/*
 * Marks in the cache: the bytes of this file were seen to be whole since the machine was started.
 * Files of the cache are not flushed to the disk when they get their names: a machine that stops
 * may leave them with other bytes. So each large one is read once after each boot. Marks of earlier
 * boots, and those beyond BOOT_MARKS_MAX that were used longest ago, go with the next one.
 */
#ifndef LAYERVM_COMMANDS_BOOT_MARK_H
#define LAYERVM_COMMANDS_BOOT_MARK_H

#include <stdint.h>

#include "cache/cache.h"
#include "support/digest.h"
#include "support/error.h"

/* The kind of the entries, which are empty files. */
#define BOOT_MARK_KIND "boot"

/* More than there are large files in a cache that is in use. */
#define BOOT_MARKS_MAX 256

/*
 * Looks for the mark of a file, known by the digest of what it holds and its inode number. Returns
 * 1 where it was marked; 0 where not, and where no boot is told from another; or an error of the
 * cache folder.
 */
int boot_mark_find(
	const struct cache *cache, const struct digest *content, uint64_t ino, struct error *err);

/* Marks a file whose bytes were just read or written. What is wrong with older marks is no failure.
 */
int boot_mark_put(
	const struct cache *cache, const struct digest *content, uint64_t ino, struct error *err);

#endif
