/*
 * Compressed archives that an earlier run has inflated: in the cache folder, under the identity of
 * the compressed file. An entry is what it inflates to with a record behind it.
 */
#ifndef LAYERVM_COMMANDS_KEPT_ARCHIVE_H
#define LAYERVM_COMMANDS_KEPT_ARCHIVE_H

#include "cache/claim.h"
#include "commands/base_cache.h"
#include "image/keep.h"
#include "support/report.h"

/* The kind of its entries in the cache. */
#define KEPT_ARCHIVE_KIND "archive"

/* The keeper of one archive that is being opened. Must not be moved after kept_archive_init. */
struct kept_archive {
	struct image_keep keep; /* for image_options */
	const struct cache *cache;
	struct report *report;
	enum base_check check;
	struct digest key;
	struct cache_entry *entry;
	struct cache_claim claim;
	bool is_too_large; /* nothing of it is kept */
};

/*
 * cache, report: must live as long. check: BASE_CHECK_BYTES: an entry that is there goes, and the
 * archive is inflated anew, whoever else does so at the time. What is wrong with the cache is told
 * in the report.
 */
void kept_archive_init(struct kept_archive *kept, const struct cache *cache, struct report *report,
	enum base_check check);

/* An entry that is not finished by then is gone. */
void kept_archive_close(struct kept_archive *kept);

/* Whether an entry of that key is as it was written; else an ERROR_INPUT. */
int kept_archive_check(int fd, const struct digest *key, struct error *err);

#endif
