#include "layer/tar_header.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "support/utf8.h"

/* The ustar header (POSIX.1-2017 pax, "ustar Interchange Format"). */
struct ustar {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char typeflag;
	char linkname[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char devmajor[8];
	char devminor[8];
	char prefix[155];
	char pad[12];
};
_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a ustar header is one block");

#define OCTAL_7 07777777ull      /* what 7 octal digits hold */
#define OCTAL_11 077777777777ull /* what 11 octal digits hold */

static void put_octal(char *field, size_t size, uint64_t value)
{
	field[size - 1] = '\0';
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

static bool is_plain(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
		if (*p >= 0x80)
			return false;
	}
	return true;
}

/* A record is "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void add_record(
	struct buffer *out, const char *prefix, const char *key, const void *value, size_t len)
{
	size_t rest = 1 + strlen(prefix) + strlen(key) + 1 + len + 1;
	size_t total = rest + 1;
	for (;;) {
		size_t digits = (size_t)snprintf(NULL, 0, "%zu", total);
		if (digits + rest == total)
			break;
		total = digits + rest;
	}
	buffer_printf(out, "%zu %s%s=", total, prefix, key);
	buffer_add(out, value, len);
	buffer_add(out, "\n", 1);
}

static void add_text_record(struct buffer *out, const char *key, const char *value)
{
	add_record(out, "", key, value, strlen(value));
}

static void add_number_record(struct buffer *out, const char *key, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, value);
	add_text_record(out, key, text);
}

/*
 * Splits a path at a slash into prefix (at most 155 bytes) and name (at most 100). Returns
 * whether it fits; where it does not, name holds its beginning, for readers that know no pax.
 */
static bool put_path(struct ustar *h, const char *path)
{
	size_t len = strlen(path);
	if (len <= sizeof(h->name)) {
		memcpy(h->name, path, len);
		return true;
	}
	for (size_t i = len - 1; i-- > 1;) {
		if (path[i] != '/' || i > sizeof(h->prefix))
			continue;
		if (len - i - 1 > sizeof(h->name))
			break;
		memcpy(h->prefix, path, i);
		memcpy(h->name, path + i + 1, len - i - 1);
		return true;
	}
	memcpy(h->name, path, sizeof(h->name));
	return false;
}

static void put_checksum(struct ustar *h)
{
	unsigned sum = 0;
	memset(h->checksum, ' ', sizeof(h->checksum));
	for (size_t i = 0; i < sizeof(*h); i++)
		sum += ((const unsigned char *)h)[i];
	put_octal(h->checksum, 7, sum);
}

static void init_ustar(struct ustar *h, char type, uint32_t mode)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	h->typeflag = type;
	put_octal(h->mode, sizeof(h->mode), mode);
	put_octal(h->uid, sizeof(h->uid), 0);
	put_octal(h->gid, sizeof(h->gid), 0);
	put_octal(h->size, sizeof(h->size), 0);
	put_octal(h->mtime, sizeof(h->mtime), 0);
	put_octal(h->devmajor, sizeof(h->devmajor), 0);
	put_octal(h->devminor, sizeof(h->devminor), 0);
}

static void add_padding(struct buffer *out)
{
	static const char zeros[TAR_BLOCK];
	size_t over = out->len % TAR_BLOCK;
	if (over != 0)
		buffer_add(out, zeros, TAR_BLOCK - over);
}

static void add_mtime_record(struct buffer *records, const struct tar_header *header)
{
	char text[48];
	int64_t sec = header->mtime_sec;
	uint32_t nsec = header->mtime_nsec;
	const char *sign = "";
	/* -0.25 s is kept as -1 s + 750,000,000 ns; as text it is one signed number. */
	if (sec < 0 && nsec != 0) {
		sec++;
		nsec = 1000000000 - nsec;
		if (sec == 0)
			sign = "-";
	}
	int n = snprintf(text, sizeof(text), "%s%" PRId64 ".%09" PRIu32, sign, sec, nsec);
	size_t len = (size_t)n;
	while (text[len - 1] == '0')
		len--;
	if (text[len - 1] == '.')
		len--;
	text[len] = '\0';
	add_text_record(records, "mtime", text);
}

/* Puts the values that fit into the ustar header and adds records for the others. */
static void fill(struct ustar *h, struct buffer *records, const struct tar_header *header)
{
	init_ustar(h, header->type, header->mode);

	bool path_fits = put_path(h, header->path);
	bool target_fits = true;
	if (header->target != NULL) {
		size_t len = strlen(header->target);
		target_fits = len <= sizeof(h->linkname);
		memcpy(h->linkname, header->target, target_fits ? len : sizeof(h->linkname));
	}
	bool need_path = !path_fits || !is_plain(header->path);
	bool need_target = header->target != NULL && (!target_fits || !is_plain(header->target));
	/* pax values are UTF-8 unless it is said that they are bytes. */
	if ((need_path && !utf8_is_valid(header->path, strlen(header->path))) ||
		(need_target && !utf8_is_valid(header->target, strlen(header->target))))
		add_text_record(records, "hdrcharset", "BINARY");
	if (need_path)
		add_text_record(records, "path", header->path);
	if (need_target)
		add_text_record(records, "linkpath", header->target);

	if (header->size <= OCTAL_11)
		put_octal(h->size, sizeof(h->size), header->size);
	else
		add_number_record(records, "size", header->size);
	if (header->uid <= OCTAL_7)
		put_octal(h->uid, sizeof(h->uid), header->uid);
	else
		add_number_record(records, "uid", header->uid);
	if (header->gid <= OCTAL_7)
		put_octal(h->gid, sizeof(h->gid), header->gid);
	else
		add_number_record(records, "gid", header->gid);
	bool mtime_fits = header->mtime_sec >= 0 && (uint64_t)header->mtime_sec <= OCTAL_11;
	if (mtime_fits)
		put_octal(h->mtime, sizeof(h->mtime), (uint64_t)header->mtime_sec);
	if (!mtime_fits || header->mtime_nsec != 0)
		add_mtime_record(records, header);
	put_octal(h->devmajor, sizeof(h->devmajor), header->major);
	put_octal(h->devminor, sizeof(h->devminor), header->minor);
	for (uint32_t i = 0; header->xattrs != NULL && i < header->xattrs->count; i++) {
		const struct xattr *x = &header->xattrs->items[i];
		add_record(records, "SCHILY.xattr.", x->name, x->value, x->len);
	}
	put_checksum(h);
}

void tar_header_add(struct buffer *out, const struct tar_header *header)
{
	struct ustar h;
	cleanup_buffer struct buffer records = {0};
	fill(&h, &records, header);
	if (records.len != 0) {
		struct ustar extended;
		init_ustar(&extended, 'x', 0644);
		memcpy(extended.name, "PaxHeaders", 10);
		put_octal(extended.size, sizeof(extended.size), records.len);
		put_checksum(&extended);
		buffer_add(out, &extended, sizeof(extended));
		buffer_add(out, records.data, records.len);
		add_padding(out);
	}
	buffer_add(out, &h, sizeof(h));
}
