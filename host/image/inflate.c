#include "image/inflate.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "image/range.h"
#include "support/fileio.h"
#include "support/memory.h"

/* Zeros are left out of files in pieces of this size. */
#define HOLE_BLOCK 4096u

#define TAR_MAGIC_OFFSET 257u

const struct inflate_limit inflate_image_limit = {
	.always = 8ull << 30,
	.ratio = 1100,
	.never = 1ull << 40,
};

static const struct {
	enum compression compression;
	int filter; /* libarchive's code */
	const char *name;
	size_t len;
	uint8_t magic[6];
} compressions[] = {
	{COMPRESSION_GZIP, ARCHIVE_FILTER_GZIP, "gzip", 3, {0x1f, 0x8b, 0x08}},
	{COMPRESSION_ZSTD, ARCHIVE_FILTER_ZSTD, "zstd", 4, {0x28, 0xb5, 0x2f, 0xfd}},
	{COMPRESSION_XZ, ARCHIVE_FILTER_XZ, "xz", 6, {0xfd, '7', 'z', 'X', 'Z', 0x00}},
	{COMPRESSION_BZIP2, ARCHIVE_FILTER_BZIP2, "bzip2", 3, {'B', 'Z', 'h'}},
};
#define COMPRESSIONS (sizeof(compressions) / sizeof(compressions[0]))

/* RFC 8878, "Skippable Frames": parallel writers of zstd begin with one. */
static bool is_skippable_frame(const uint8_t *head, size_t len)
{
	static const uint8_t magic[] = {0x2a, 0x4d, 0x18};
	return len >= 4 && (head[0] & 0xf0) == 0x50 && memcmp(head + 1, magic, sizeof(magic)) == 0;
}

int inflate_detect(int fd, uint64_t offset, uint64_t size, const char *name,
	enum compression *compression, struct error *err)
{
	uint8_t head[512];
	size_t len = size < sizeof(head) ? (size_t)size : sizeof(head);
	*compression = COMPRESSION_NONE;
	int r = file_read_at(fd, head, len, offset, name, err);
	if (r < 0)
		return r;
	if (len == sizeof(head) && memcmp(head + TAR_MAGIC_OFFSET, "ustar", 5) == 0)
		return 0;
	for (size_t i = 0; i < COMPRESSIONS; i++) {
		if (len >= compressions[i].len &&
			memcmp(head, compressions[i].magic, compressions[i].len) == 0)
			*compression = compressions[i].compression;
	}
	if (is_skippable_frame(head, len))
		*compression = COMPRESSION_ZSTD;
	return 0;
}

/* The bytes that the job may give. */
static uint64_t limit_of(const struct inflate_job *job)
{
	uint64_t limit;
	if (__builtin_mul_overflow(job->size, job->limit->ratio, &limit))
		limit = job->limit->never;
	if (limit < job->limit->always)
		limit = job->limit->always;
	return limit < job->limit->never ? limit : job->limit->never;
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return data[0] == 0 && memcmp(data, data + 1, len - 1) == 0;
}

/* Writes all of the bytes but whole blocks of zeros. position: where they belong in the output. */
static int write_sparse(const struct inflate_job *job, const uint8_t *data, size_t len,
	uint64_t position, struct error *err)
{
	size_t start = 0;
	size_t at = 0;
	while (at < len) {
		size_t n = HOLE_BLOCK - (size_t)((position + at) % HOLE_BLOCK);
		if (n > len - at)
			n = len - at;
		if (n == HOLE_BLOCK && is_zero(data + at, n)) {
			int r = file_write_at(job->to, data + start, at - start,
				job->to_offset + position + start, "a temporary file", err);
			if (r < 0)
				return r;
			start = at + n;
		}
		at += n;
	}
	return file_write_at(job->to, data + start, len - start, job->to_offset + position + start,
		"a temporary file", err);
}

static int copy_data(
	struct inflate_job *job, struct archive *archive, struct range *range, struct error *err)
{
	uint64_t limit = limit_of(job);
	uint64_t total = 0;
	cleanup_hasher struct hasher *hasher = hasher_new();
	for (;;) {
		const void *data;
		size_t len;
		la_int64_t offset;
		int r = archive_read_data_block(archive, &data, &len, &offset);
		if (r == ARCHIVE_EOF)
			break;
		if (r != ARCHIVE_OK)
			return range_error(range, archive);
		if (len > limit - total)
			return error_set(err, ERROR_LIMIT, EFBIG,
				"%s: %llu compressed bytes give more than the limit of %llu: "
				"taken for a compression bomb",
				job->name, (unsigned long long)job->size,
				(unsigned long long)limit);
		hasher_add(hasher, data, len);
		r = write_sparse(job, data, len, total, err);
		if (r < 0)
			return r;
		total += len;
	}
	job->inflated = hasher_finish(hasher);
	job->inflated_size = total;
	if (ftruncate(job->to, (off_t)(job->to_offset + total)) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "a temporary file: cannot be extended");
	return 0;
}

/* An archive object that inflates by exactly one filter, inside this process. */
static int new_reader(const struct inflate_job *job, struct archive **out, struct error *err)
{
	cleanup_archive_read struct archive *archive = archive_read_new();
	if (archive == NULL)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "libarchive is out of memory");
	archive_read_support_format_raw(archive);
	archive_read_support_format_empty(archive);
	for (size_t i = 0; i < COMPRESSIONS; i++) {
		/* ARCHIVE_WARN stands for an external program, which is never run. */
		if (compressions[i].compression == job->compression &&
			archive_read_append_filter(archive, compressions[i].filter) != ARCHIVE_OK)
			return error_set(err, ERROR_INPUT, ENOTSUP,
				"%s: is compressed with %s, which this libarchive cannot read",
				job->name, compressions[i].name);
	}
	*out = steal_ptr(&archive);
	return 0;
}

int inflate_run(struct inflate_job *job, struct error *err)
{
	cleanup_free uint8_t *buffer = xmalloc(RANGE_CHUNK);
	cleanup_hasher struct hasher *hasher = hasher_new();
	struct range range = {
		.fd = job->from,
		.offset = job->offset,
		.end = job->offset + job->size,
		.name = job->name,
		.hasher = hasher,
		.err = err,
		.buffer = buffer,
	};
	cleanup_archive_read struct archive *archive = NULL;
	int r = new_reader(job, &archive, err);
	if (r < 0)
		return r;
	if (range_open(&range, archive) != ARCHIVE_OK)
		return range_error(&range, archive);
	struct archive_entry *entry;
	r = archive_read_next_header(archive, &entry);
	if (r == ARCHIVE_OK) {
		r = copy_data(job, archive, &range, err);
		if (r < 0)
			return r;
	} else if (r == ARCHIVE_EOF) {
		job->inflated = digest_of("", 0);
		job->inflated_size = 0;
	} else {
		return range_error(&range, archive);
	}
	r = range_drain(&range);
	if (r < 0)
		return r;
	job->digest = hasher_finish(hasher);
	return 0;
}
