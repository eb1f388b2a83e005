/* The fields of one tar header, taken only where all readers of tars take them alike. */
#ifndef LAYERVM_LAYER_TAR_FIELDS_H
#define LAYERVM_LAYER_TAR_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/ustar.h"

/* GNU's header, from where ustar has its prefix. */
struct gnu_tail {
	char atime[12], ctime[12], offset[12];
	char longnames[4];
	char unused;
	char pieces[4][24]; /* offset and length */
	char is_extended;
	char realsize[12];
	char pad[17];
};
_Static_assert(offsetof(struct ustar, prefix) + sizeof(struct gnu_tail) == TAR_BLOCK, "a block");

bool tar_is_zero(const void *data, size_t len);

/*
 * A number as octal digits, with blanks before them, and blanks and NULs after them; NULs alone are
 * 0. Or in base 256: the first byte is 0x80, or 0xff below 0. Returns false for all else, and for
 * what an int64_t does not hold.
 */
bool tar_number(const char *field, size_t len, int64_t *out);

/* Whether a header has the sum of its bytes: unsigned ones, or signed ones as of old writers. */
bool tar_has_checksum(const struct ustar *header);

/*
 * What is wrong with a header of which only one format should be seen, as the end of a sentence;
 * NULL: nothing.
 */
const char *tar_format_fault(const struct ustar *header);

#endif
