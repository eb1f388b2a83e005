/*
 * The header block of a tar member (POSIX.1-2017 pax, "ustar Interchange Format"). Numbers are
 * octal digits with a NUL at the end.
 */
#ifndef LAYERVM_SUPPORT_USTAR_H
#define LAYERVM_SUPPORT_USTAR_H

#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK 512

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

#define USTAR_OCTAL_7 07777777ull      /* what the 7 digits of mode, uid and gid hold */
#define USTAR_OCTAL_11 077777777777ull /* what the 11 digits of size and mtime hold */

/* A header of that typeflag and mode; owner, size, time and device numbers are 0. */
void ustar_init(struct ustar *header, char typeflag, uint32_t mode);

/* Fills a field of size bytes; of a value that needs more digits the upper ones are lost. */
void ustar_put_octal(char *field, size_t size, uint64_t value);

/* Sets the checksum, once all else is in. */
void ustar_put_checksum(struct ustar *header);

#endif
