#include "support/ustar.h"

#include <string.h>

void ustar_put_octal(char *field, size_t size, uint64_t value)
{
	field[size - 1] = '\0';
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

void ustar_init(struct ustar *header, char typeflag, uint32_t mode)
{
	memset(header, 0, sizeof(*header));
	memcpy(header->magic, "ustar", 6);
	memcpy(header->version, "00", 2);
	header->typeflag = typeflag;
	ustar_put_octal(header->mode, sizeof(header->mode), mode);
	ustar_put_octal(header->uid, sizeof(header->uid), 0);
	ustar_put_octal(header->gid, sizeof(header->gid), 0);
	ustar_put_octal(header->size, sizeof(header->size), 0);
	ustar_put_octal(header->mtime, sizeof(header->mtime), 0);
	ustar_put_octal(header->devmajor, sizeof(header->devmajor), 0);
	ustar_put_octal(header->devminor, sizeof(header->devminor), 0);
}

void ustar_put_checksum(struct ustar *header)
{
	/* The sum is that of a header with blanks in the sum's field; six digits are enough. */
	unsigned sum = 0;
	memset(header->checksum, ' ', sizeof(header->checksum));
	for (size_t i = 0; i < sizeof(*header); i++)
		sum += ((const unsigned char *)header)[i];
	ustar_put_octal(header->checksum, sizeof(header->checksum) - 1, sum);
}
