/* Which QEMU is run. */
#ifndef LAYERVM_COMMANDS_QEMU_PROGRAM_H
#define LAYERVM_COMMANDS_QEMU_PROGRAM_H

/* $LAYERVM_QEMU, or qemu-system-x86_64: what child_find takes. */
const char *qemu_program(void);

#endif
