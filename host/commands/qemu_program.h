/* Which QEMU is run. */
#ifndef LAYERVM_COMMANDS_QEMU_PROGRAM_H
#define LAYERVM_COMMANDS_QEMU_PROGRAM_H

/* $LAYERVM_QEMU, or qemu-system-x86_64: a name to find on PATH, or a path. */
const char *qemu_program(void);

/* The path that the name leads to, which the caller frees; NULL: not found. */
char *qemu_program_path(void);

#endif
