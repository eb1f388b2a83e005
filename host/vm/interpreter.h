/*
 * What the kernel executes for a program besides its own file: the dynamic loader that an ELF file
 * names (System V ABI, "Program Interpreter").
 */
#ifndef LAYERVM_VM_INTERPRETER_H
#define LAYERVM_VM_INTERPRETER_H

#include <stdbool.h>

/*
 * Whether a file is a program for the kernel itself, a 64-bit ELF file, and no script or the like.
 * *loader: the path of its loader, which the caller frees; NULL where it has none, or is no such
 * program. A file that cannot be read or is damaged is none: its execution tells its fault.
 */
bool interpreter_find(const char *path, char **loader);

#endif
