#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "devices.h"
#include "protocol.h"

/*
 * noatime: reading is no change. noinit_itable: the kernel's own filling of inode tables is no
 * change either, and would cost the host a copy of each.
 */
#define MOUNT_OPTIONS "errors=remount-ro,noinit_itable"

/* So few free blocks (of 4 KiB) are none: directories and extents take some of their own. */
#define FULL_BLOCKS 16

#define RELEASE_TRIES 500
#define RELEASE_WAIT_MS 10

static const struct {
	const char *name;
	unsigned major, minor;
} device_nodes[] = {
	{"null", 1, 3},
	{"zero", 1, 5},
	{"full", 1, 7},
	{"random", 1, 8},
	{"urandom", 1, 9},
	{"tty", 5, 0},
	{"console", 5, 1},
};

static const struct {
	const char *target, *name;
} device_links[] = {
	{"pts/ptmx", "ptmx"},
	{"/proc/self/fd", "fd"},
	{"/proc/self/fd/0", "stdin"},
	{"/proc/self/fd/1", "stdout"},
	{"/proc/self/fd/2", "stderr"},
};

int image_mount(struct fault *fault)
{
	if (mount(DEVICE_DISK, IMAGE_FOLDER, "ext4", MS_NOATIME, MOUNT_OPTIONS) < 0)
		return fault_set_errno(fault, "cannot mount the image's disk as ext4");
	return 0;
}

/*
 * Mounts onto a folder of the image. Nothing of the image runs yet, so that the look at it cannot
 * be overtaken; the name has one part below the mount's root, so that no symlink can redirect it.
 */
static int mount_onto(const char *type, const char *name, unsigned long flags, const char *options,
	struct fault *fault)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), IMAGE_FOLDER "/%s", name);
	if (lstat(path, &st) < 0)
		return fault_set_errno(
			fault, "the image has no folder /%s to mount %s on", name, type);
	if (!S_ISDIR(st.st_mode))
		return fault_set(fault,
			"/%s of the image is %s, where a folder to mount %s on is needed", name,
			S_ISLNK(st.st_mode) ? "a symlink" : "no folder", type);
	if (mount(type, path, type, flags, options) < 0)
		return fault_set_errno(fault, "cannot mount %s on /%s of the image", type, name);
	return 0;
}

/* The devices that containers have (OCI runtime-spec, config-linux.md, "Default Devices"). */
static int fill_dev(struct fault *fault)
{
	char path[64];
	for (size_t i = 0; i < sizeof(device_nodes) / sizeof(device_nodes[0]); i++) {
		dev_t device = makedev(device_nodes[i].major, device_nodes[i].minor);
		snprintf(path, sizeof(path), IMAGE_FOLDER "/dev/%s", device_nodes[i].name);
		if (mknod(path, S_IFCHR | 0666, device) < 0)
			return fault_set_errno(fault, "cannot make /dev/%s", device_nodes[i].name);
	}
	for (size_t i = 0; i < sizeof(device_links) / sizeof(device_links[0]); i++) {
		snprintf(path, sizeof(path), IMAGE_FOLDER "/dev/%s", device_links[i].name);
		if (symlink(device_links[i].target, path) < 0)
			return fault_set_errno(fault, "cannot make /dev/%s", device_links[i].name);
	}
	return 0;
}

static int make_dev_folder(const char *name, struct fault *fault)
{
	char path[64];
	snprintf(path, sizeof(path), IMAGE_FOLDER "/%s", name);
	if (mkdir(path, 0755) < 0)
		return fault_set_errno(fault, "cannot make /%s", name);
	return 0;
}

static int mount_toolbox(struct fault *fault)
{
	static const char target[] = IMAGE_FOLDER "/dev/.layervm";
	if (make_dev_folder("dev/.layervm", fault) < 0)
		return -1;
	if (mount(TOOLBOX_FOLDER, target, NULL, MS_BIND, NULL) < 0 ||
		mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL) < 0)
		return fault_set_errno(fault, "cannot mount the toolbox");
	return 0;
}

int image_surround(struct fault *fault)
{
	const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	umask(0);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fault_set_errno(fault, "cannot make a mount namespace");
	if (mount_onto("proc", "proc", plain, NULL, fault) < 0)
		return -1;
	if (mount_onto("sysfs", "sys", plain, NULL, fault) < 0)
		return -1;
	if (mount_onto("tmpfs", "dev", MS_NOSUID, "mode=755,size=64m", fault) < 0)
		return -1;
	if (fill_dev(fault) < 0)
		return -1;
	if (make_dev_folder("dev/pts", fault) < 0 || make_dev_folder("dev/shm", fault) < 0)
		return -1;
	if (mount_onto("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC,
		    "newinstance,ptmxmode=0666,mode=0620,gid=5", fault) < 0)
		return -1;
	if (mount_onto("tmpfs", "dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", fault) < 0)
		return -1;
	return mount_toolbox(fault);
}

/*
 * f_bavail leaves out what ext4 keeps for its own use, so it is 0 when a write fails; f_files
 * is 0 on file systems without a fixed number of inodes.
 */
bool image_full(void)
{
	struct statvfs st;
	if (statvfs(IMAGE_FOLDER, &st) < 0)
		return false;
	return st.f_bavail < FULL_BLOCKS || (st.f_files != 0 && st.f_ffree == 0);
}

/* How many errors the kernel has met in the file system since it was mounted. */
static unsigned long count_errors(void)
{
	char text[32] = "";
	int fd = open("/sys/fs/ext4/vda/errors_count", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 ? strtoul(text, NULL, 10) : 0;
}

static int sync_file(const char *path, int (*sync_call)(int), const char *what, struct fault *fault)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_set_errno(fault, "cannot open %s", what);
	int r = sync_call(fd);
	if (r < 0)
		fault_set_errno(fault, "not all of %s could be written", what);
	close(fd);
	return r;
}

/*
 * Read-only is reached at once, with all written, even while another mount namespace still holds
 * the file system. Processes that are gone may have left files to the kernel's own workers, which
 * close them a moment later without telling anybody: hence the tries.
 */
static int make_read_only(struct fault *fault)
{
	const struct timespec wait = {.tv_nsec = RELEASE_WAIT_MS * 1000000L};
	for (unsigned i = 0; i < RELEASE_TRIES; i++) {
		if (mount(NULL, IMAGE_FOLDER, NULL, MS_REMOUNT | MS_RDONLY | MS_NOATIME, NULL) == 0)
			return 0;
		if (errno != EBUSY)
			break;
		nanosleep(&wait, NULL);
	}
	if (errno == EBUSY)
		return fault_set(fault,
			"something in the kernel still uses a file of the image after "
			"all processes ended, such as a swap file or a loop device");
	return fault_set_errno(fault, "cannot make the image's disk read-only");
}

int image_unmount(struct fault *fault)
{
	if (sync_file(IMAGE_FOLDER, syncfs, "the image's disk", fault) < 0)
		return -1;
	if (make_read_only(fault) < 0)
		return -1;
	unsigned long errors = count_errors();
	if (errors != 0)
		return fault_set(fault,
			"the kernel found the image's file system damaged (%lu errors)", errors);
	/* Busy where a namespace still goes: the file system is clean already. */
	if (umount2(IMAGE_FOLDER, 0) < 0 && errno != EBUSY)
		return fault_set_errno(fault, "cannot unmount the image's disk");
	return sync_file(DEVICE_DISK, fsync, "the image's disk", fault);
}
