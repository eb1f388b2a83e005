#include "commands/qemu_program.h"

#include <stdlib.h>

const char *qemu_program(void)
{
	const char *name = getenv("LAYERVM_QEMU");
	return name != NULL && *name != '\0' ? name : "qemu-system-x86_64";
}
