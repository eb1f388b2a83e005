/* Sizes as users write them. */
#ifndef LAYERVM_SUPPORT_SIZE_H
#define LAYERVM_SUPPORT_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* So many MiB are a number of bytes that 64 bits hold. */
#define SIZE_MEBIBYTES_MAX (UINT64_MAX >> 20)

/*
 * MiB: a decimal number alone, or with M, G or T after it, each with iB or B after it, in any case.
 * Returns whether text is that, and the number fits; *mebibytes is undefined where not.
 */
bool size_parse_mebibytes(const char *text, uint64_t *mebibytes);

#endif
