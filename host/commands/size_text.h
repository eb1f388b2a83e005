/* Numbers of bytes for people, in the unit that leaves one to three digits before the point. */
#ifndef LAYERVM_COMMANDS_SIZE_TEXT_H
#define LAYERVM_COMMANDS_SIZE_TEXT_H

#include <stdint.h>
#include <stdio.h>

#define SIZE_TEXT_SIZE 16

/* Writes "512 B" or "1.5 MB" into text and returns it. */
const char *size_text(uint64_t bytes, char text[static SIZE_TEXT_SIZE]);

/* Writes it for a column: eight characters, the units below one another. */
void size_put(FILE *out, uint64_t bytes);

#endif
