#include "unpack/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE (256u << 10)

static void archive_cleanup(struct archive **archive)
{
	archive_read_free(*archive);
}

/* An archive of exactly this compression: what it holds is not guessed at. */
static int open_archive(
	struct archive *archive, int fd, enum layer_compression compression, struct error *err)
{
	int filters = compression == LAYER_PLAIN ? 1 : 2; /* libarchive counts the file itself */
	int r = archive_read_support_format_tar(archive);
	if (r == ARCHIVE_OK)
		r = archive_read_support_format_empty(archive);
	if (r == ARCHIVE_OK && compression == LAYER_GZIP)
		r = archive_read_support_filter_gzip(archive);
	if (r == ARCHIVE_OK && compression == LAYER_ZSTD)
		r = archive_read_support_filter_zstd(archive);
	if (r == ARCHIVE_OK)
		r = archive_read_open_fd(archive, fd, READ_SIZE);
	if (r != ARCHIVE_OK)
		return error_set(
			err, ERROR_INPUT, EINVAL, "not a tar: %s", archive_error_string(archive));
	if (archive_filter_count(archive) != filters)
		return error_set(err, ERROR_INPUT, EINVAL, "is not compressed as was said");
	return 0;
}

static int name_entry(struct archive_entry *entry, int code, struct error *err)
{
	const char *path = archive_entry_pathname(entry);
	return error_wrap(err, code, "%s", path != NULL ? path : "?");
}

/* Whether libarchive passed over a record of the entry, and warns of that. */
static bool lacks_record(struct archive *archive, int status)
{
	const char *words = archive_error_string(archive);
	return status == ARCHIVE_WARN && words != NULL && strstr(words, "> 1MB") != NULL;
}

/* What is done with each entry: unpacker_look or unpacker_apply. */
typedef int apply_fn(struct unpacker *unpacker, struct archive *archive,
	struct archive_entry *entry, struct error *err);

static int read_entries(
	struct unpacker *unpacker, struct archive *archive, apply_fn *apply, struct error *err)
{
	struct archive_entry *entry;
	for (;;) {
		int status = archive_read_next_header(archive, &entry);
		if (status == ARCHIVE_EOF)
			return 0;
		if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
			return error_set(err, ERROR_INPUT, EINVAL, "at byte %" PRId64 ": %s",
				(int64_t)archive_read_header_position(archive),
				archive_error_string(archive));
		if (lacks_record(archive, status))
			return error_set(err, ERROR_INPUT, E2BIG,
				"at byte %" PRId64 ": a pax record of over 1 MB, which is not "
				"read",
				(int64_t)archive_read_header_position(archive));
		int r = apply(unpacker, archive, entry, err);
		if (r < 0)
			return name_entry(entry, r, err);
	}
}

/* Reads the layer once, from its start. */
static int read_layer(struct unpacker *unpacker, int fd, enum layer_compression compression,
	apply_fn *apply, struct error *err)
{
	__attribute__((cleanup(archive_cleanup))) struct archive *archive = archive_read_new();
	if (archive == NULL)
		return error_set(err, ERROR_GUEST, ENOMEM, "libarchive has no memory");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERROR_GUEST, "its start cannot be found");
	int r = open_archive(archive, fd, compression, err);
	return r < 0 ? r : read_entries(unpacker, archive, apply, err);
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
