/* xz and bzip2 by libarchive's filters: rare in images, so their speed matters less. */
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "image/decode.h"
#include "support/memory.h"

struct filtered {
	struct range *range;
	struct archive *archive;
	const uint8_t *data; /* what libarchive gave and nobody took yet */
	size_t left;
};

static void filtered_close(void *state)
{
	struct filtered *filtered = state;
	if (filtered != NULL)
		archive_read_free(filtered->archive);
	free(filtered);
}

static int filtered_open(const struct decode_format *format, struct range *range, void **state)
{
	cleanup_archive_read struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	if (archive == NULL)
		return error_set(range->err, ERROR_INTERNAL, ENOMEM, "libarchive is out of memory");
	archive_read_support_format_raw(archive);
	archive_read_support_format_empty(archive);
	int filter = format == &decode_xz ? ARCHIVE_FILTER_XZ : ARCHIVE_FILTER_BZIP2;
	/* ARCHIVE_WARN stands for an external program, which is never run. */
	if (archive_read_append_filter(archive, filter) != ARCHIVE_OK)
		return error_set(range->err, ERROR_INPUT, ENOTSUP,
			"%s: is compressed with %s, which this libarchive cannot read", range->name,
			format->name);
	if (range_open(range, archive) != ARCHIVE_OK)
		return range_error(range, archive);
	int r = archive_read_next_header(archive, &entry);
	if (r != ARCHIVE_OK && r != ARCHIVE_EOF)
		return range_error(range, archive);
	struct filtered *filtered = xcalloc(1, sizeof(*filtered));
	filtered->range = range;
	filtered->archive = steal_ptr(&archive);
	*state = filtered;
	return 0;
}

static int filtered_read(void *state, void *data, size_t size, size_t *len)
{
	struct filtered *filtered = state;
	*len = 0;
	while (*len < size) {
		if (filtered->left == 0) {
			const void *block;
			la_int64_t offset;
			int r = archive_read_data_block(
				filtered->archive, &block, &filtered->left, &offset);
			if (r == ARCHIVE_EOF)
				return 0;
			if (r != ARCHIVE_OK)
				return range_error(filtered->range, filtered->archive);
			filtered->data = block;
		}
		size_t n = filtered->left < size - *len ? filtered->left : size - *len;
		memcpy((uint8_t *)data + *len, filtered->data, n);
		filtered->data += n;
		filtered->left -= n;
		*len += n;
	}
	return 0;
}

const struct decode_format decode_xz = {
	.name = "xz",
	.open = filtered_open,
	.read = filtered_read,
	.close = filtered_close,
};

const struct decode_format decode_bzip2 = {
	.name = "bzip2",
	.open = filtered_open,
	.read = filtered_read,
	.close = filtered_close,
};
