#include "support/utf8.h"

#include <stdint.h>
#include <string.h>

size_t utf8_char_len(const void *data, size_t left)
{
	const unsigned char *p = data;
	size_t n;
	uint32_t min, code;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] < 0xe0) {
		n = 2, min = 0x80, code = p[0] & 0x1fu;
	} else if (p[0] >= 0xe0 && p[0] < 0xf0) {
		n = 3, min = 0x800, code = p[0] & 0x0fu;
	} else if (p[0] >= 0xf0 && p[0] < 0xf5) {
		n = 4, min = 0x10000, code = p[0] & 0x07u;
	} else {
		return 0;
	}
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3fu);
	}
	if (code < min || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return n;
}

bool utf8_is_valid(const void *data, size_t len)
{
	const unsigned char *p = data;
	while (len > 0) {
		size_t n = utf8_char_len(p, len);
		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

/* Whether some bytes after these make a character of them. */
static bool can_be_ended(const unsigned char *p, size_t len)
{
	/* After each first byte one of the two is allowed; after that, both are. */
	static const unsigned char rest[] = {0x80, 0xa0};
	for (size_t i = 0; i < sizeof(rest); i++) {
		unsigned char whole[UTF8_MAX];
		memset(whole, rest[i], sizeof(whole));
		memcpy(whole, p, len);
		if (utf8_char_len(whole, sizeof(whole)) > len)
			return true;
	}
	return false;
}

size_t utf8_unfinished(const void *data, size_t len)
{
	const unsigned char *end = (const unsigned char *)data + len;
	for (size_t n = 1; n < UTF8_MAX && n <= len; n++)
		if (can_be_ended(end - n, n))
			return n;
	return 0;
}
