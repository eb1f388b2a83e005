#include "unpack/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#define READ_SIZE (256u << 10)

static void archive_cleanup(struct archive **archive)
{
	archive_read_free(*archive);
}
#define cleanup_archive __attribute__((cleanup(archive_cleanup)))

/* A layer that is being read: what inflates it, and what the tar's bytes go by. */
struct reader {
	struct archive *blob;
	struct tar_check *check;
	int result; /* of the last read */
	struct error *err;
};

static int fail(struct archive *archive, const char *what, struct error *err)
{
	return error_set(err, ERROR_INPUT, EINVAL, "%s: %s", what, archive_error_string(archive));
}

/* Opens a blob of exactly this compression: what it holds is not guessed at. */
static int open_blob(
	struct archive *blob, int fd, enum layer_compression compression, struct error *err)
{
	struct archive_entry *entry;
	int filters = compression == LAYER_PLAIN ? 1 : 2; /* libarchive counts the file itself */
	int r = archive_read_support_format_raw(blob);
	if (r == ARCHIVE_OK)
		r = archive_read_support_format_empty(blob);
	if (r == ARCHIVE_OK && compression == LAYER_GZIP)
		r = archive_read_support_filter_gzip(blob);
	if (r == ARCHIVE_OK && compression == LAYER_ZSTD)
		r = archive_read_support_filter_zstd(blob);
	if (r == ARCHIVE_OK)
		r = archive_read_open_fd(blob, fd, READ_SIZE);
	if (r != ARCHIVE_OK)
		return fail(blob, "cannot be inflated", err);
	if (archive_filter_count(blob) != filters)
		return error_set(err, ERROR_INPUT, EINVAL, "is not compressed as was said");
	r = archive_read_next_header(blob, &entry);
	return r == ARCHIVE_OK || r == ARCHIVE_EOF ? 0 : fail(blob, "cannot be inflated", err);
}

/* The next bytes of the tar, which stay the blob's. */
static la_ssize_t on_read(struct archive *archive, void *data, const void **bytes)
{
	struct reader *r = data;
	size_t len = 0;
	la_int64_t offset;
	int status = archive_read_data_block(r->blob, bytes, &len, &offset);
	if (status == ARCHIVE_EOF)
		return 0;
	if (status != ARCHIVE_OK)
		r->result = fail(r->blob, "cannot be inflated", r->err);
	else
		r->result = tar_check_add(r->check, *bytes, len, r->err);
	if (r->result == 0)
		return (la_ssize_t)len;
	archive_set_error(archive, EIO, "%s", r->err->message);
	return -1;
}

static int open_tar(struct reader *r, struct archive *tar)
{
	if (archive_read_support_format_tar(tar) == ARCHIVE_OK &&
		archive_read_support_format_empty(tar) == ARCHIVE_OK &&
		archive_read_open(tar, r, NULL, on_read, NULL) == ARCHIVE_OK)
		return 0;
	return r->result < 0 ? r->result : fail(tar, "not a tar", r->err);
}

static int name_member(const struct member *member, int code, struct error *err)
{
	const char *path = member_path(member);
	return error_wrap(err, code, "%s", path != NULL ? path : "?");
}

/* What is done with each member: unpacker_look or unpacker_apply. */
typedef int apply_fn(struct unpacker *unpacker, struct member *member, struct error *err);

static int read_members(
	struct reader *reader, struct unpacker *unpacker, struct archive *tar, apply_fn *apply)
{
	struct error *err = reader->err;
	for (;;) {
		struct member member = {.archive = tar};
		int status = archive_read_next_header(tar, &member.entry);
		int64_t at = archive_read_header_position(tar);
		if (reader->result < 0)
			return reader->result;
		if (status == ARCHIVE_EOF)
			return tar_check_end(reader->check, err);
		if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
			return error_set(err, ERROR_INPUT, EINVAL, "at byte %" PRId64 ": %s", at,
				archive_error_string(tar));
		int r = tar_check_entry(reader->check, (uint64_t)at, &member.said, err);
		if (r < 0)
			return r;
		r = apply(unpacker, &member, err);
		if (reader->result < 0)
			r = reader->result;
		else if (r < 0)
			r = name_member(&member, r, err);
		tar_said_free(&member.said);
		if (r < 0)
			return r;
	}
}

/* Reads the layer once, from its start. */
static int read_layer(struct unpacker *unpacker, int fd, enum layer_compression compression,
	apply_fn *apply, struct error *err)
{
	cleanup_archive struct archive *blob = archive_read_new();
	cleanup_archive struct archive *tar = archive_read_new();
	cleanup_tar_check struct tar_check *check = tar_check_new();
	struct reader reader = {.blob = blob, .check = check, .err = err};
	if (blob == NULL || tar == NULL)
		return error_set(err, ERROR_GUEST, ENOMEM, "libarchive has no memory");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERROR_GUEST, "its start cannot be found");
	int r = open_blob(blob, fd, compression, err);
	if (r == 0)
		r = open_tar(&reader, tar);
	return r < 0 ? r : read_members(&reader, unpacker, tar, apply);
}

int layer_unpack(
	struct unpacker *unpacker, int fd, enum layer_compression compression, struct error *err)
{
	int r = 0;
	/* Whiteouts come first, wherever they stand: layer.md, "Whiteouts". */
	if (unpacker->has_lower)
		r = read_layer(unpacker, fd, compression, unpacker_look, err);
	if (r == 0)
		r = unpacker_hide(unpacker, err);
	if (r == 0)
		r = read_layer(unpacker, fd, compression, unpacker_apply, err);
	return r < 0 ? r : unpacker_end_layer(unpacker, err);
}
