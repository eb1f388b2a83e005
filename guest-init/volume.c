#include "volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "loops.h"

/*
 * noinit_itable: the kernel's own filling of inode tables is no change, and would cost the host a
 * copy of each.
 */
#define MOUNT_OPTIONS "errors=remount-ro,noinit_itable"

#define RELEASE_TRIES 500
#define RELEASE_WAIT_MS 10

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Opens what is asked at the end whether all was written. */
static int hold(const char *path, int *fd, const struct volume *volume, struct fault *fault)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		return fault_set_errno(fault, "cannot open %s (%s)", volume->what, path);
	return 0;
}

int volume_mount(struct volume *volume, unsigned long flags, struct fault *fault)
{
	volume->device_fd = -1;
	volume->folder_fd = -1;
	if (hold(volume->device, &volume->device_fd, volume, fault) < 0)
		return -1;
	if (mount(volume->device, volume->folder, "ext4", flags, MOUNT_OPTIONS) < 0)
		return fault_set_errno(fault, "cannot mount %s as ext4", volume->what);
	return hold(volume->folder, &volume->folder_fd, volume, fault);
}

/* How many errors the kernel has met in the file system since it was mounted. */
static unsigned long count_errors(const struct volume *volume)
{
	char path[64];
	char text[32] = "";
	snprintf(path, sizeof(path), "/sys/fs/ext4/%s/errors_count",
		strrchr(volume->device, '/') + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 ? strtoul(text, NULL, 10) : 0;
}

/* Has all written, and closes the descriptor, which has told all it knew. */
static int finish(int *fd, int (*sync_call)(int), const struct volume *volume, struct fault *fault)
{
	int r = sync_call(*fd);
	if (r < 0)
		fault_set_errno(fault, "not all of %s could be written", volume->what);
	close_fd(fd);
	return r;
}

/*
 * Read-only is reached at once, with all written, even while another mount namespace still holds
 * the file system. Processes that are gone may have left files to the kernel's own workers, which
 * close them a moment later without telling anybody: hence the tries. A loop device keeps its file
 * until it is told to let go.
 */
static int make_read_only(const struct volume *volume, struct fault *fault)
{
	const struct timespec wait = {.tv_nsec = RELEASE_WAIT_MS * 1000000L};
	const unsigned long flags = MS_REMOUNT | MS_RDONLY | MS_NOATIME;
	for (unsigned i = 0; i < RELEASE_TRIES; i++) {
		if (mount(NULL, volume->folder, NULL, flags, NULL) == 0)
			return 0;
		if (errno != EBUSY)
			break;
		loops_detach();
		nanosleep(&wait, NULL);
	}
	if (errno == EBUSY)
		return fault_set(fault,
			"something in the kernel still uses a file of %s after all processes "
			"ended, such as a swap file",
			volume->what);
	return fault_set_errno(fault, "cannot make %s read-only", volume->what);
}

/* An error that the kernel met has made the file system read-only: it is told instead of that. */
static int make_clean(struct volume *volume, struct fault *fault)
{
	if (finish(&volume->folder_fd, syncfs, volume, fault) < 0)
		return -1;
	int r = make_read_only(volume, fault);
	unsigned long errors = count_errors(volume);
	if (errors != 0)
		return fault_set(fault,
			"the kernel found the file system of %s damaged (%lu errors)", volume->what,
			errors);
	return r;
}

int volume_release(struct volume *volume, struct fault *fault)
{
	if (make_clean(volume, fault) < 0)
		return -1;
	/* Busy where a namespace still goes: the file system is clean already. */
	if (umount2(volume->folder, 0) < 0 && errno != EBUSY)
		return fault_set_errno(fault, "cannot unmount %s", volume->what);
	return finish(&volume->device_fd, fsync, volume, fault);
}
