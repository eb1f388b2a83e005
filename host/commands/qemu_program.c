#include "commands/qemu_program.h"

#include <string.h>
#include <unistd.h>

#include "support/memory.h"

const char *qemu_program(void)
{
	const char *name = getenv("LAYERVM_QEMU");
	return name != NULL && *name != '\0' ? name : "qemu-system-x86_64";
}

char *qemu_program_path(void)
{
	const char *name = qemu_program();
	const char *folders = getenv("PATH");
	if (strchr(name, '/') != NULL)
		return xstrdup(name);
	while (folders != NULL && *folders != '\0') {
		size_t len = strcspn(folders, ":");
		/* An empty part is the working folder (environ(7), PATH). */
		cleanup_free char *path = xasprintf(
			"%.*s/%s", len != 0 ? (int)len : 1, len != 0 ? folders : ".", name);
		if (access(path, X_OK) == 0)
			return steal_ptr(&path);
		folders += len;
		folders += *folders == ':';
	}
	return NULL;
}
