#include "image.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "devices.h"
#include "protocol.h"

/* So few free blocks (of 4 KiB) are none: directories and extents take some of their own. */
#define FULL_BLOCKS 16

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

/* noatime: reading is no change. */
int image_mount(struct volume *volume, struct fault *fault)
{
	*volume = (struct volume){
		.what = "the image's disk",
		.folder = IMAGE_FOLDER,
		.device = DEVICE_DISK,
	};
	return volume_mount(volume, MS_NOATIME, fault);
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
