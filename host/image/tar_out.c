#include "image/tar_out.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "support/ustar.h"

static int put_header(struct sink *sink, const char *name, char type, uint32_t mode, uint64_t size,
	struct error *err)
{
	struct ustar header;
	size_t len = strlen(name);
	if (len > TAR_OUT_NAME_MAX)
		return error_set(err, ERROR_INTERNAL, ENAMETOOLONG,
			"the name %s is too long for a tar header", name);
	ustar_init(&header, type, mode);
	memcpy(header.name, name, len);
	ustar_put_octal(header.size, sizeof(header.size), size);
	ustar_put_checksum(&header);
	return sink_write(sink, &header, sizeof(header), err);
}

int tar_out_padding(struct sink *sink, uint64_t size, struct error *err)
{
	static const char zeros[TAR_BLOCK];
	size_t rest = (size_t)(size % TAR_BLOCK);
	return rest == 0 ? 0 : sink_write(sink, zeros, TAR_BLOCK - rest, err);
}

/* A pax header that gives the next member's size. */
static int put_size_record(struct sink *sink, uint64_t size, struct error *err)
{
	/* The record's length counts itself: "LL size=N\n" with N of 10 to 20 digits. */
	char record[64];
	int digits = snprintf(NULL, 0, "%llu", (unsigned long long)size);
	int len = snprintf(
		record, sizeof(record), "%d size=%llu\n", digits + 9, (unsigned long long)size);
	int r = put_header(sink, "pax-header", 'x', 0644, (uint64_t)len, err);
	if (r == 0)
		r = sink_write(sink, record, (size_t)len, err);
	if (r == 0)
		r = tar_out_padding(sink, (uint64_t)len, err);
	return r;
}

int tar_out_file_header(struct sink *sink, const char *name, uint64_t size, struct error *err)
{
	bool fits = size <= USTAR_OCTAL_11;
	int r = fits ? 0 : put_size_record(sink, size, err);
	return r < 0 ? r : put_header(sink, name, '0', 0644, fits ? size : 0, err);
}

int tar_out_folder(struct sink *sink, const char *name, struct error *err)
{
	return put_header(sink, name, '5', 0755, 0, err);
}

int tar_out_bytes(
	struct sink *sink, const char *name, const void *data, size_t len, struct error *err)
{
	int r = tar_out_file_header(sink, name, len, err);
	if (r == 0)
		r = sink_write(sink, data, len, err);
	return r < 0 ? r : tar_out_padding(sink, len, err);
}

int tar_out_end(struct sink *sink, struct error *err)
{
	static const char zeros[2 * TAR_BLOCK];
	return sink_write(sink, zeros, sizeof(zeros), err);
}
