#include "unpack/layer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>

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

static int read_entries(struct unpacker *unpacker, struct archive *archive, struct error *err)
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
		int r = unpacker_apply(unpacker, archive, entry, err);
		if (r < 0)
			return name_entry(entry, r, err);
	}
}

int layer_unpack(
	struct unpacker *unpacker, int fd, enum layer_compression compression, struct error *err)
{
	__attribute__((cleanup(archive_cleanup))) struct archive *archive = archive_read_new();
	if (archive == NULL)
		return error_set(err, ERROR_GUEST, ENOMEM, "libarchive has no memory");
	int r = open_archive(archive, fd, compression, err);
	if (r == 0)
		r = read_entries(unpacker, archive, err);
	if (r == 0)
		r = unpacker_end_layer(unpacker, err);
	return r;
}
