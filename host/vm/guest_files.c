#include "vm/guest_files.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/memory.h"

#define KERNEL "vmlinux"
#define INITRD "initramfs.cpio"
#define UNPACK_INITRD "unpack.cpio"

/* Takes the files of a folder where all are there. */
static bool take_folder(struct guest_files *files, const char *folder)
{
	cleanup_free char *kernel = xasprintf("%s/" KERNEL, folder);
	cleanup_free char *initrd = xasprintf("%s/" INITRD, folder);
	cleanup_free char *unpack_initrd = xasprintf("%s/" UNPACK_INITRD, folder);
	if (access(kernel, R_OK) < 0 || access(initrd, R_OK) < 0 || access(unpack_initrd, R_OK) < 0)
		return false;
	files->kernel = steal_ptr(&kernel);
	files->initrd = steal_ptr(&initrd);
	files->unpack_initrd = steal_ptr(&unpack_initrd);
	return true;
}

static int read_program_folder(char folder[static PATH_MAX], struct error *err)
{
	ssize_t n = readlink("/proc/self/exe", folder, PATH_MAX - 1);
	if (n < 0)
		return error_set_errno(err, ERROR_INTERNAL, "/proc/self/exe: cannot be read");
	folder[n] = '\0';
	char *slash = strrchr(folder, '/');
	if (slash == NULL)
		return error_set(err, ERROR_INTERNAL, ENOENT,
			"/proc/self/exe: %s, where an absolute path was expected", folder);
	*slash = '\0';
	return 0;
}

int guest_files_find(struct guest_files *files, struct error *err)
{
	char program[PATH_MAX];
	*files = (struct guest_files){0};
	const char *chosen = getenv("LAYERVM_GUEST_DIR");
	if (chosen != NULL && *chosen != '\0') {
		if (take_folder(files, chosen))
			return 0;
		return error_set(err, ERROR_INTERNAL, ENOENT,
			"LAYERVM_GUEST_DIR is %s, which does not hold readable files " KERNEL
			", " INITRD " and " UNPACK_INITRD,
			chosen);
	}
	int r = read_program_folder(program, err);
	if (r < 0)
		return r;
	cleanup_free char *installed = xasprintf("%s/../share/layervm", program);
	cleanup_free char *built = xasprintf("%s/../images/guest", program);
	if (take_folder(files, installed) || take_folder(files, built))
		return 0;
	return error_set(err, ERROR_INTERNAL, ENOENT,
		"the guest's files " KERNEL ", " INITRD " and " UNPACK_INITRD
		" are neither in %s nor in %s: run scripts/setup and build again, or name their "
		"folder in LAYERVM_GUEST_DIR",
		installed, built);
}

void guest_files_free(struct guest_files *files)
{
	free(files->kernel);
	free(files->initrd);
	free(files->unpack_initrd);
	*files = (struct guest_files){0};
}
