/* Names of an image, which hold any bytes, on a line of standard output. */
#ifndef LAYERVM_COMMANDS_QUOTED_H
#define LAYERVM_COMMANDS_QUOTED_H

#include <stdio.h>

/*
 * Writes a name: UTF-8 as it is, but control characters, backslashes and bytes that are no UTF-8
 * as the backslash sequences that GNU tar has: "\n", "\\", "\033".
 */
void quoted_put(FILE *out, const char *name);

#endif
