#include "image/tar_out.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TAR_BLOCK 512u

/* The first size that does not fit eleven octal digits. */
#define USTAR_SIZE_END (1ull << 33)

struct ustar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char target[100];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char device_major[8];
	char device_minor[8];
	char prefix[155];
	char padding[12];
};
_Static_assert(sizeof(struct ustar_header) == TAR_BLOCK, "a tar header is a block");

/* Digits up to the last byte of the field, which is NUL. */
static void put_octal(char *field, size_t size, uint64_t value)
{
	field[size - 1] = '\0';
	for (size_t i = size - 1; i > 0; i--) {
		field[i - 1] = (char)('0' + value % 8);
		value /= 8;
	}
}

static int put_header(struct sink *sink, const char *name, char type, unsigned mode, uint64_t size,
	struct error *err)
{
	struct ustar_header header = {.type = type};
	size_t len = strlen(name);
	if (len > TAR_OUT_NAME_MAX)
		return error_set(err, ERROR_INTERNAL, ENAMETOOLONG,
			"the name %s is too long for a tar header", name);
	memcpy(header.name, name, len);
	put_octal(header.mode, sizeof(header.mode), mode);
	put_octal(header.uid, sizeof(header.uid), 0);
	put_octal(header.gid, sizeof(header.gid), 0);
	put_octal(header.size, sizeof(header.size), size);
	put_octal(header.mtime, sizeof(header.mtime), 0);
	memcpy(header.magic, "ustar", 6);
	memcpy(header.version, "00", 2);
	put_octal(header.device_major, sizeof(header.device_major), 0);
	put_octal(header.device_minor, sizeof(header.device_minor), 0);
	/* The sum is that of a header with blanks in the sum's field. */
	memset(header.checksum, ' ', sizeof(header.checksum));
	unsigned sum = 0;
	for (size_t i = 0; i < sizeof(header); i++)
		sum += ((const unsigned char *)&header)[i];
	put_octal(header.checksum, sizeof(header.checksum) - 1, sum);
	return sink_write(sink, &header, sizeof(header), err);
}

static int put_padding(struct sink *sink, uint64_t size, struct error *err)
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
		r = put_padding(sink, (uint64_t)len, err);
	return r;
}

int tar_out_file_header(struct sink *sink, const char *name, uint64_t size, struct error *err)
{
	bool fits = size < USTAR_SIZE_END;
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
	return r < 0 ? r : put_padding(sink, len, err);
}

int tar_out_copy(struct sink *sink, const char *name, int from, uint64_t offset, uint64_t len,
	struct error *err)
{
	int r = tar_out_file_header(sink, name, len, err);
	if (r == 0)
		r = sink_copy(sink, from, offset, len, name, err);
	return r < 0 ? r : put_padding(sink, len, err);
}

int tar_out_end(struct sink *sink, struct error *err)
{
	static const char zeros[2 * TAR_BLOCK];
	return sink_write(sink, zeros, sizeof(zeros), err);
}
