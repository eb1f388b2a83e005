#include "commands/kept_archive.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/base_record.h"
#include "commands/boot_mark.h"
#include "commands/cache_note.h"
#include "commands/cache_turn.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define FILE_NAME "an inflated archive in the cache"
#define CHUNK (1u << 20)

/* As much as struct base_identity knows the beginning of; what is smaller is not kept. */
#define LENGTH_MIN 4096u

/* Part of the key: raised with every change of the record. */
#define KEY_LABEL "layervm inflated archive 1\n"

#define MAGIC "lvm-arch"

/* Inflating takes so many seconds, and one more for so much of the archive: at the very most. */
#define PATIENCE_SECONDS 10u
#define PATIENCE_BYTES (UINT64_C(4) << 20)

/* The record at the end, little-endian. */
struct stored {
	char magic[8];
	uint64_t length; /* of what was inflated */
	uint64_t ino;    /* of the entry's file, to the head: struct base_identity */
	uint64_t size;
	uint64_t birth_sec;
	uint64_t birth_nsec;
	struct digest head;
	struct digest content; /* of what was inflated */
	struct digest sum;     /* of the key and all before it */
};
_Static_assert(sizeof(struct stored) == 48 + 3 * sizeof(struct digest), "no bytes between fields");

/* What is read of an entry. */
struct record {
	uint64_t length;
	struct base_identity identity;
	struct digest content;
};

static struct digest checksum(const struct digest *key, const struct stored *stored)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	hasher_add(hasher, key->bytes, sizeof(key->bytes));
	hasher_add(hasher, stored, offsetof(struct stored, sum));
	return hasher_finish(hasher);
}

static int read_record(int fd, const struct digest *key, struct record *out, struct error *err)
{
	struct stored stored;
	struct stat st;
	*out = (struct record){0};
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, FILE_NAME ": cannot be looked at");
	uint64_t size = (uint64_t)st.st_size;
	if (size < LENGTH_MIN + sizeof(stored))
		return error_set(err, ERROR_INPUT, EINVAL,
			FILE_NAME ": has %llu bytes, expected %zu at least",
			(unsigned long long)size, LENGTH_MIN + sizeof(stored));
	uint64_t end = size - sizeof(stored);
	int r = file_read_at(fd, &stored, sizeof(stored), end, FILE_NAME, err);
	if (r < 0)
		return r;
	struct digest sum = checksum(key, &stored);
	uint64_t length = le64toh(stored.length);
	if (memcmp(stored.magic, MAGIC, sizeof(stored.magic)) != 0 ||
		!digest_equal(&sum, &stored.sum) || length != end)
		return error_set(err, ERROR_INPUT, EINVAL, FILE_NAME ": its record is damaged");
	*out = (struct record){
		.length = length,
		.identity =
			{
				.ino = le64toh(stored.ino),
				.size = le64toh(stored.size),
				.birth_sec = (int64_t)le64toh(stored.birth_sec),
				.birth_nsec = le64toh(stored.birth_nsec),
				.head = stored.head,
			},
		.content = stored.content,
	};
	return 0;
}

static int check_content(int fd, const struct record *record, struct error *err)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	cleanup_free uint8_t *chunk = xmalloc(CHUNK);
	for (uint64_t at = 0; at < record->length;) {
		uint64_t left = record->length - at;
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		int r = interrupt_check(err);
		if (r == 0)
			r = file_read_at(fd, chunk, n, at, FILE_NAME, err);
		if (r < 0)
			return r;
		hasher_add(hasher, chunk, n);
		at += n;
	}
	struct digest found = hasher_finish(hasher);
	return digest_expect(&record->content, &found, FILE_NAME, "digest", err);
}

int kept_archive_check(int fd, const struct digest *key, struct error *err)
{
	struct record record;
	int r = read_record(fd, key, &record, err);
	return r < 0 ? r : check_content(fd, &record, err);
}

/* That it is the file that was written, and was seen to be whole since the machine was started. */
static int check_entry(
	const struct kept_archive *kept, int fd, const struct record *record, struct error *err)
{
	struct base_identity found;
	struct error ignored;
	int r = base_identity_read(fd, &found, err);
	if (r != 0)
		return r;
	if (!base_identity_equal(&found, &record->identity))
		return error_set(
			err, ERROR_INPUT, EINVAL, FILE_NAME ": is not the file that was written");
	r = boot_mark_find(kept->cache, &record->content, record->identity.ino, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = check_content(fd, record, err);
	/* Without a mark it is read the next time too. */
	if (r == 0)
		(void)boot_mark_put(kept->cache, &record->content, record->identity.ino, &ignored);
	return r;
}

/* Looks the entry up; one that is damaged goes, with a note, and is none. */
static int open_entry(const struct kept_archive *kept, int *fd, uint64_t *size, struct error *err)
{
	struct record record;
	cleanup_close int found = -1;
	int r = cache_find(kept->cache, KEPT_ARCHIVE_KIND, &kept->key, O_RDONLY, &found, err);
	if (r <= 0)
		return r;
	r = read_record(found, &kept->key, &record, err);
	if (r == 0)
		r = check_entry(kept, found, &record, err);
	if (r < 0 && err->kind == ERROR_INPUT) {
		report_note(kept->report, "cache: %s; it is made anew", err->message);
		return cache_remove(kept->cache, KEPT_ARCHIVE_KIND, &kept->key, err);
	}
	if (r != 0)
		return r;
	*fd = steal_fd(&found);
	*size = record.length;
	return 1;
}

static int look(struct kept_archive *kept, int *fd, uint64_t *size, struct error *err)
{
	return cache_note(kept->report, open_entry(kept, fd, size, err), err);
}

/* Nothing that is there is believed, and so nothing is waited for. */
static int forget(const struct kept_archive *kept, struct error *err)
{
	int r = cache_remove(kept->cache, KEPT_ARCHIVE_KIND, &kept->key, err);
	return cache_note(kept->report, r, err);
}

static unsigned patience(uint64_t compressed)
{
	uint64_t seconds = PATIENCE_SECONDS + compressed / PATIENCE_BYTES;
	return seconds < UINT_MAX ? (unsigned)seconds : UINT_MAX;
}

/* Looks again once it is this run's turn. */
static int await_turn(
	struct kept_archive *kept, uint64_t compressed, int *fd, uint64_t *size, struct error *err)
{
	const struct cache_turn turn = {
		.kind = KEPT_ARCHIVE_KIND,
		.key = kept->key,
		.what = "what the archive inflates to",
		.patience = patience(compressed),
	};
	int r = cache_turn_take(kept->cache, &turn, kept->report, &kept->claim, err);
	if (r == 0)
		r = look(kept, fd, size, err);
	if (r > 0)
		cache_claim_release(&kept->claim);
	return r;
}

static int find(struct image_keep *keep, const struct digest *file, uint64_t compressed, int *fd,
	uint64_t *size, struct error *err)
{
	struct kept_archive *kept = (struct kept_archive *)keep;
	cleanup_hasher struct hasher *hasher = hasher_new();
	hasher_add(hasher, KEY_LABEL, strlen(KEY_LABEL));
	hasher_add(hasher, file->bytes, sizeof(file->bytes));
	kept->key = hasher_finish(hasher);
	/* It inflates to more than it is, in all but strange cases, which are not worth it. */
	kept->is_too_large = !cache_would_keep(kept->cache, compressed);
	if (kept->is_too_large)
		return 0;
	if (kept->check == BASE_CHECK_BYTES)
		return forget(kept, err);
	int r = look(kept, fd, size, err);
	return r != 0 ? r : await_turn(kept, compressed, fd, size, err);
}

static int start(struct image_keep *keep)
{
	struct kept_archive *kept = (struct kept_archive *)keep;
	struct error err;
	if (kept->is_too_large)
		return -1;
	int r = cache_start(kept->cache, KEPT_ARCHIVE_KIND, &kept->entry, &err);
	if (r < 0) {
		cache_note(kept->report, r, &err);
		/* Nobody is to wait for what is not kept. */
		cache_claim_release(&kept->claim);
		return -1;
	}
	return fcntl(cache_entry_fd(kept->entry), F_DUPFD_CLOEXEC, 3);
}

static int write_record(const struct kept_archive *kept, const struct digest *content,
	uint64_t length, uint64_t *ino, struct error *err)
{
	int fd = cache_entry_fd(kept->entry);
	struct base_identity identity;
	uint64_t size;
	if (__builtin_add_overflow(length, sizeof(struct stored), &size) || size > INT64_MAX)
		return error_set(err, ERROR_OUTPUT, EFBIG, FILE_NAME ": is too large");
	if (ftruncate(fd, (off_t)size) < 0)
		return error_set_errno(err, ERROR_OUTPUT, FILE_NAME ": cannot be written");
	int r = base_identity_read(fd, &identity, err);
	if (r < 0)
		return r;
	struct stored stored = {
		.magic = MAGIC,
		.length = htole64(length),
		.ino = htole64(identity.ino),
		.size = htole64(identity.size),
		.birth_sec = htole64((uint64_t)identity.birth_sec),
		.birth_nsec = htole64(identity.birth_nsec),
		.head = identity.head,
		.content = *content,
	};
	stored.sum = checksum(&kept->key, &stored);
	*ino = identity.ino;
	return file_write_at(fd, &stored, sizeof(stored), length, FILE_NAME, err);
}

static void drop_entry(struct kept_archive *kept)
{
	cache_entry_free(kept->entry);
	kept->entry = NULL;
	cache_claim_release(&kept->claim);
}

/* Without a mark the entry is read once more the next time. */
static int publish(const struct kept_archive *kept, const struct digest *content, uint64_t size,
	struct error *err)
{
	uint64_t ino = 0;
	struct error ignored;
	int r = write_record(kept, content, size, &ino, err);
	if (r == 0)
		r = cache_publish(kept->entry, &kept->key, err);
	if (r == 0)
		(void)boot_mark_put(kept->cache, content, ino, &ignored);
	return r;
}

/* That one is too large is what the archive is like, and nothing to be told with every run. */
static void finish(struct image_keep *keep, const struct digest *content, uint64_t size)
{
	struct kept_archive *kept = (struct kept_archive *)keep;
	struct error err;
	if (size >= LENGTH_MIN && cache_would_keep(kept->cache, size))
		cache_note(kept->report, publish(kept, content, size, &err), &err);
	drop_entry(kept);
}

static void fail(struct image_keep *keep, int r, struct error *err)
{
	struct kept_archive *kept = (struct kept_archive *)keep;
	r = error_wrap(err, r, "the archive is inflated to the temporary folder instead");
	cache_note(kept->report, r, err);
	drop_entry(kept);
}

void kept_archive_init(struct kept_archive *kept, const struct cache *cache, struct report *report,
	enum base_check check)
{
	*kept = (struct kept_archive){
		.keep = {.find = find, .start = start, .finish = finish, .fail = fail},
		.cache = cache,
		.report = report,
		.check = check,
		.claim = CACHE_CLAIM_NONE,
	};
}

void kept_archive_close(struct kept_archive *kept)
{
	drop_entry(kept);
}
