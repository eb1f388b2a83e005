#include "layer/tar_fields.h"

#include <string.h>

bool tar_is_zero(const void *data, size_t len)
{
	const char *bytes = data;
	return len == 0 || (bytes[0] == '\0' && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* Octal digits, with blanks before them, and blanks and NULs after them; nothing at all is 0. */
static bool parse_octal(const char *field, size_t len, uint64_t *out)
{
	size_t i = 0;
	*out = 0;
	if (tar_is_zero(field, len))
		return true;
	while (i < len && field[i] == ' ')
		i++;
	size_t digits = i;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		*out = *out << 3 | (uint64_t)(field[i] - '0');
	if (i == digits)
		return false;
	while (i < len && (field[i] == ' ' || field[i] == '\0'))
		i++;
	return i == len;
}

bool tar_number(const char *field, size_t len, int64_t *out)
{
	const unsigned char *bytes = (const unsigned char *)field;
	uint64_t sum;
	if (bytes[0] != 0x80 && bytes[0] != 0xff) {
		bool ok = parse_octal(field, len, &sum);
		*out = (int64_t)sum; /* 12 digits are 36 bits */
		return ok;
	}
	/* What is above 64 bits, and the sign's bit, say the sign once more. */
	unsigned char sign = bytes[0] == 0xff ? 0xff : 0;
	for (size_t i = 1; i + 8 < len; i++) {
		if (bytes[i] != sign)
			return false;
	}
	sum = sign != 0 ? UINT64_MAX : 0;
	for (size_t i = len > 8 ? len - 8 : 1; i < len; i++)
		sum = sum << 8 | bytes[i];
	*out = (int64_t)sum;
	return (*out < 0) == (sign != 0);
}

bool tar_has_checksum(const struct ustar *header)
{
	const unsigned char *bytes = (const unsigned char *)header;
	uint64_t told;
	uint32_t sum = 0;
	uint32_t upper = 0;
	for (size_t i = 0; i < sizeof(*header); i++) {
		sum += bytes[i];
		upper += bytes[i] >> 7;
	}
	for (size_t i = 0; i < sizeof(header->checksum); i++) {
		sum += (uint32_t)' ' - (unsigned char)header->checksum[i];
		upper -= (unsigned char)header->checksum[i] >> 7;
	}
	return parse_octal(header->checksum, sizeof(header->checksum), &told) &&
	       (told == sum || told + 256 * (uint64_t)upper == sum);
}

/* In the oldest format nothing follows the link's target, but for zeros where others have devices.
 */
static bool is_old_tail(const struct ustar *header)
{
	int64_t major, minor;
	const char *magic = (const char *)header + offsetof(struct ustar, magic);
	const char *prefix = (const char *)header + offsetof(struct ustar, prefix);
	return tar_is_zero(
		       magic, offsetof(struct ustar, devmajor) - offsetof(struct ustar, magic)) &&
	       tar_is_zero(prefix, TAR_BLOCK - offsetof(struct ustar, prefix)) &&
	       tar_number(header->devmajor, sizeof(header->devmajor), &major) && major == 0 &&
	       tar_number(header->devminor, sizeof(header->devminor), &minor) && minor == 0;
}

const char *tar_format_fault(const struct ustar *header)
{
	static const char posix[] = {'u', 's', 't', 'a', 'r', '\0', '0', '0'};
	static const char gnu[] = {'u', 's', 't', 'a', 'r', ' ', ' ', '\0'};
	const char *from_magic = (const char *)header + offsetof(struct ustar, magic);
	const char *from_prefix = (const char *)header + offsetof(struct ustar, prefix);
	bool is_gnu = memcmp(from_magic, gnu, sizeof(gnu)) == 0;
	if (header->typeflag == 'S' && !is_gnu)
		return "it is of type S, which is GNU's, in another format";
	if (memcmp(from_magic, posix, sizeof(posix)) == 0) {
		if (!tar_is_zero(header->pad, sizeof(header->pad)))
			return "its header goes on behind the prefix";
	} else if (is_gnu) {
		if (header->typeflag != 'S' && !tar_is_zero(from_prefix, sizeof(struct gnu_tail)))
			return "its GNU header has a prefix, or times there";
	} else if (!is_old_tail(header)) {
		return "its header is in none of the formats of POSIX, of GNU and of old";
	}
	return NULL;
}
