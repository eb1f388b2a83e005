#include "layer/tar_header.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "layer/acl.h"
#include "support/utf8.h"

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

static void add_xattr_records(struct buffer *out, const struct xattr *x, bool acl_text)
{
	cleanup_buffer struct buffer text = {0};
	const char *keyword = acl_text ? acl_keyword(x->name) : NULL;
	add_record(out, "SCHILY.xattr.", x->name, x->value, x->len);
	if (keyword != NULL && acl_add_text(&text, x->value, x->len))
		add_record(out, "", keyword, text.data, text.len);
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

/* Fills len bytes up to whole blocks; out itself may begin in the middle of one. */
static void add_padding(struct buffer *out, size_t len)
{
	static const char zeros[TAR_BLOCK];
	size_t over = len % TAR_BLOCK;
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
	ustar_init(h, header->type, header->mode);

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

	if (header->size <= USTAR_OCTAL_11)
		ustar_put_octal(h->size, sizeof(h->size), header->size);
	else
		add_number_record(records, "size", header->size);
	if (header->uid <= USTAR_OCTAL_7)
		ustar_put_octal(h->uid, sizeof(h->uid), header->uid);
	else
		add_number_record(records, "uid", header->uid);
	if (header->gid <= USTAR_OCTAL_7)
		ustar_put_octal(h->gid, sizeof(h->gid), header->gid);
	else
		add_number_record(records, "gid", header->gid);
	bool mtime_fits = header->mtime_sec >= 0 && (uint64_t)header->mtime_sec <= USTAR_OCTAL_11;
	if (mtime_fits)
		ustar_put_octal(h->mtime, sizeof(h->mtime), (uint64_t)header->mtime_sec);
	if (!mtime_fits || header->mtime_nsec != 0)
		add_mtime_record(records, header);
	ustar_put_octal(h->devmajor, sizeof(h->devmajor), header->major);
	ustar_put_octal(h->devminor, sizeof(h->devminor), header->minor);
	for (uint32_t i = 0; header->xattrs != NULL && i < header->xattrs->count; i++)
		add_xattr_records(records, &header->xattrs->items[i], header->acl_text);
	ustar_put_checksum(h);
}

void tar_header_add(struct buffer *out, const struct tar_header *header)
{
	struct ustar h;
	cleanup_buffer struct buffer records = {0};
	fill(&h, &records, header);
	if (records.len != 0) {
		struct ustar extended;
		ustar_init(&extended, 'x', 0644);
		memcpy(extended.name, "PaxHeaders", 10);
		ustar_put_octal(extended.size, sizeof(extended.size), records.len);
		ustar_put_checksum(&extended);
		buffer_add(out, &extended, sizeof(extended));
		buffer_add(out, records.data, records.len);
		add_padding(out, records.len);
	}
	buffer_add(out, &h, sizeof(h));
}
