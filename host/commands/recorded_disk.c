#include "commands/recorded_disk.h"

#include <errno.h>
#include <fcntl.h>

#include "commands/boot_mark.h"
#include "disk/disk_digest.h"
#include "support/memory.h"

/* Without a mark the disk is read the next time. */
static void put_mark(const struct cache *cache, const struct base_record *record)
{
	struct error ignored;
	(void)boot_mark_put(cache, &record->disk, record->identity.ino, &ignored);
}

int recorded_disk_publish(const struct cache *cache, const struct recorded_disk_kind *kind,
	struct cache_entry *entry, struct base_record *record, struct error *err)
{
	cleanup_close int named = -1;
	int r = disk_digest(cache_entry_fd(entry), &record->disk, err);
	if (r == 0)
		r = cache_publish(entry, &record->disk, err);
	if (r == 0)
		r = cache_find(cache, kind->kind, &record->disk, O_RDONLY, &named, err);
	if (r == 0)
		return error_set(err, ERROR_OUTPUT, ENOENT,
			"%s: is gone already: another run has removed it from %s", kind->name,
			cache_path(cache));
	if (r > 0)
		r = base_identity_read(named, &record->identity, err);
	if (r < 0)
		return r;
	/* Of somebody else's file nobody here has seen the bytes. */
	if (cache_is_current(cache, kind->kind, &record->disk, cache_entry_fd(entry)))
		put_mark(cache, record);
	return 0;
}

static int check_identity(const struct recorded_disk_kind *kind, const struct base_record *record,
	int disk, struct error *err)
{
	struct base_identity found;
	int r = base_identity_read(disk, &found, err);
	if (r < 0 || base_identity_equal(&found, &record->identity))
		return r;
	return error_set(err, ERROR_INPUT, EINVAL,
		"%s: is not the file of %llu bytes that was made", kind->name,
		(unsigned long long)record->identity.size);
}

static int check_bytes(const struct cache *cache, const struct recorded_disk_kind *kind,
	const struct base_record *record, enum base_check check, int disk, struct error *err)
{
	struct digest found;
	int r = 0;
	if (check == BASE_CHECK_IDENTITY)
		r = boot_mark_find(cache, &record->disk, record->identity.ino, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = disk_digest(disk, &found, err);
	if (r == 0)
		r = digest_expect(&record->disk, &found, kind->name, "digest", err);
	if (r == 0)
		put_mark(cache, record);
	return r;
}

int recorded_disk_open(const struct cache *cache, const struct recorded_disk_kind *kind,
	const struct base_record *record, enum base_check check, int *disk, struct error *err)
{
	cleanup_close int found = -1;
	struct error ignored;
	int r = cache_find(cache, kind->kind, &record->disk, O_RDONLY, &found, err);
	if (r == 0)
		return error_set(err, ERROR_INPUT, ENOENT, "%s: is gone", kind->name);
	if (r > 0)
		r = check_identity(kind, record, found, err);
	if (r == 0)
		r = check_bytes(cache, kind, record, check, found, err);
	if (r == 0) {
		*disk = steal_fd(&found);
		return 0;
	}
	/* By now another run may have put a whole one in its place. */
	if (found >= 0 && err->kind == ERROR_INPUT &&
		cache_is_current(cache, kind->kind, &record->disk, found))
		(void)cache_remove(cache, kind->kind, &record->disk, &ignored);
	return r;
}
