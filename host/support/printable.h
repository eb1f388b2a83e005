/* Text from outside on one line of a terminal. */
#ifndef LAYERVM_SUPPORT_PRINTABLE_H
#define LAYERVM_SUPPORT_PRINTABLE_H

#include <stddef.h>

/*
 * Copies text to out, control characters as \xNN; what does not fit is cut off.
 * size: of out in bytes, at least 1.
 */
void printable_copy(char *out, size_t size, const char *text);

#endif
