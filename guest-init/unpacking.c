#include "unpacking.h"

#include <errno.h>
#include <sys/mount.h>
#include <unistd.h>

#include "devices.h"
#include "image.h"
#include "setting.h"

#define LAYERS_FOLDER "/layers"
#define PROGRAM "/unpack"

/*
 * A symlink in a sticky folder that all may write to is followed for its owner only, unless the
 * kernel is told otherwise (proc(5), /proc/sys/fs/protected_symlinks). No user here plants one.
 */
static int allow_symlinks(struct fault *fault)
{
	return setting_write("/proc/sys/fs/protected_symlinks", "0", fault);
}

int unpacking_prepare(struct fault *fault)
{
	const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	if (allow_symlinks(fault) < 0)
		return -1;
	if (devices_wait_for(DEVICE_LAYERS, fault) < 0)
		return -1;
	if (mount(DEVICE_LAYERS, LAYERS_FOLDER, "ext4", flags, NULL) < 0)
		return fault_set_errno(fault, "cannot mount the disk with the layers as ext4");
	return 0;
}

static int enter(struct job *job, struct user *user, struct refusal *refusal)
{
	(void)job;
	(void)user;
	if (chdir("/") < 0)
		return fault_set_errno(&refusal->fault, "cannot enter the root directory");
	return 0;
}

static void execute(const struct job *job, struct refusal *refusal)
{
	char *const argv[] = {PROGRAM, LAYERS_FOLDER, IMAGE_FOLDER, NULL};
	char *const env[] = {NULL};
	(void)job;
	execve(PROGRAM, argv, env);
	refusal->code = errno == ENOENT ? TASK_NOT_FOUND : TASK_CANNOT_RUN;
	fault_set_errno(&refusal->fault, "%s of the initramfs cannot be run", PROGRAM);
}

const struct task_program unpacking_program = {.enter = enter, .execute = execute};
