/* bzip2 by libarchive's filter: rare in images, so its speed matters less. */
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "image/decode.h"
#include "support/fileio.h"
#include "support/memory.h"

struct filtered {
	struct range *range;
	struct archive *archive;
	uint64_t start;      /* of the compressed bytes, in the file */
	const uint8_t *data; /* what libarchive gave and nobody took yet */
	size_t left;
	bool ended;
};

static void filtered_close(void *state)
{
	struct filtered *filtered = state;
	if (filtered != NULL)
		archive_read_free(filtered->archive);
	free(filtered);
}

/* Of what is wrong, libarchive tells too little. */
static int damaged(struct range *range)
{
	if (range->result < 0)
		return range->result;
	return error_set(range->err, ERROR_INPUT, EINVAL,
		"%s: is damaged: its bzip2 data is wrong or ends too early", range->name);
}

/*
 * Whether the stream has no block: its end marker follows the header. libarchive gives bytes that
 * end within the first block out as an empty archive, too.
 */
static bool is_empty(struct range *range, uint64_t start)
{
	static const uint8_t marker[] = {0x17, 0x72, 0x45, 0x38, 0x50, 0x90};
	uint8_t head[14];
	return range->end - start >= sizeof(head) &&
	       file_read_at(range->fd, head, sizeof(head), start, range->name, range->err) == 0 &&
	       memcmp(head + 4, marker, sizeof(marker)) == 0;
}

static int filtered_open(const struct decode_format *format, struct range *range, void **state)
{
	cleanup_archive_read struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	if (archive == NULL)
		return error_set(range->err, ERROR_INTERNAL, ENOMEM, "libarchive is out of memory");
	archive_read_support_format_raw(archive);
	archive_read_support_format_empty(archive);
	/* ARCHIVE_WARN stands for an external program, which is never run. */
	if (archive_read_append_filter(archive, ARCHIVE_FILTER_BZIP2) != ARCHIVE_OK)
		return error_set(range->err, ERROR_INPUT, ENOTSUP,
			"%s: is compressed with %s, which this libarchive cannot read", range->name,
			format->name);
	uint64_t start = range->offset;
	if (range_open(range, archive) != ARCHIVE_OK)
		return damaged(range);
	int r = archive_read_next_header(archive, &entry);
	if (r != ARCHIVE_OK && (r != ARCHIVE_EOF || !is_empty(range, start)))
		return damaged(range);
	struct filtered *filtered = xcalloc(1, sizeof(*filtered));
	filtered->range = range;
	filtered->start = start;
	filtered->ended = r == ARCHIVE_EOF;
	filtered->archive = steal_ptr(&archive);
	*state = filtered;
	return 0;
}

/*
 * libarchive passes over what follows the end. Zeros may, as they fill up blocks of tapes and of
 * tar.
 */
static int end(struct filtered *filtered)
{
	struct range *range = filtered->range;
	uint64_t offset = filtered->start + (uint64_t)archive_filter_bytes(filtered->archive, -1);
	filtered->ended = true;
	while (offset < range->end) {
		uint8_t bytes[4096];
		size_t len = sizeof(bytes);
		if (len > range->end - offset)
			len = (size_t)(range->end - offset);
		int r = file_read_at(range->fd, bytes, len, offset, range->name, range->err);
		if (r < 0)
			return r;
		for (size_t i = 0; i < len; i++) {
			if (bytes[i] != 0)
				return error_set(range->err, ERROR_INPUT, EINVAL,
					"%s: is damaged: other data follows the end of its bzip2 "
					"data",
					range->name);
		}
		offset += len;
	}
	return 0;
}

static int filtered_read(void *state, void *data, size_t size, size_t *len)
{
	struct filtered *filtered = state;
	*len = 0;
	while (*len < size && !filtered->ended) {
		if (filtered->left == 0) {
			const void *block;
			la_int64_t offset;
			int r = archive_read_data_block(
				filtered->archive, &block, &filtered->left, &offset);
			if (r == ARCHIVE_EOF)
				return end(filtered);
			if (r != ARCHIVE_OK)
				return damaged(filtered->range);
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

const struct decode_format decode_bzip2 = {
	.name = "bzip2",
	.open = filtered_open,
	.read = filtered_read,
	.close = filtered_close,
};
