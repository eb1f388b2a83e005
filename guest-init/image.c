#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "devices.h"
#include "protocol.h"

/* Where proc, sys and dev stand before they are moved into the image. */
#define SURROUNDINGS "/surroundings"

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
	/* Their modules are loaded when they are opened. */
	{"fuse", 10, 229},
	{"loop-control", 10, 237},
};

/* As many loop devices as the kernel makes at first: it numbers them from 0. */
#define LOOP_DEVICES 8
#define LOOP_MAJOR 7

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

/* Makes a folder of the surroundings, which an earlier job may have left behind. */
static int make_folder(const char *path, struct fault *fault)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return fault_set_errno(fault, "cannot make %s", path);
	return 0;
}

static int mount_at(const char *type, const char *path, unsigned long flags, const char *options,
	struct fault *fault)
{
	if (make_folder(path, fault) < 0)
		return -1;
	if (mount(type, path, type, flags, options) < 0)
		return fault_set_errno(fault, "cannot mount %s on %s", type, path);
	return 0;
}

/*
 * The devices that containers have (OCI runtime-spec, config-linux.md, "Default Devices"), and
 * those of loop and fuse.
 */
static int fill_dev(struct fault *fault)
{
	char path[64];
	for (size_t i = 0; i < sizeof(device_nodes) / sizeof(device_nodes[0]); i++) {
		dev_t device = makedev(device_nodes[i].major, device_nodes[i].minor);
		snprintf(path, sizeof(path), SURROUNDINGS "/dev/%s", device_nodes[i].name);
		if (mknod(path, S_IFCHR | 0666, device) < 0)
			return fault_set_errno(fault, "cannot make /dev/%s", device_nodes[i].name);
	}
	for (unsigned i = 0; i < LOOP_DEVICES; i++) {
		snprintf(path, sizeof(path), SURROUNDINGS "/dev/loop%u", i);
		if (mknod(path, S_IFBLK | 0660, makedev(LOOP_MAJOR, i)) < 0)
			return fault_set_errno(fault, "cannot make /dev/loop%u", i);
	}
	for (size_t i = 0; i < sizeof(device_links) / sizeof(device_links[0]); i++) {
		snprintf(path, sizeof(path), SURROUNDINGS "/dev/%s", device_links[i].name);
		if (symlink(device_links[i].target, path) < 0)
			return fault_set_errno(fault, "cannot make /dev/%s", device_links[i].name);
	}
	return 0;
}

static int mount_toolbox(struct fault *fault)
{
	static const char target[] = SURROUNDINGS "/dev/.layervm";
	if (make_folder(target, fault) < 0)
		return -1;
	if (mount(TOOLBOX_FOLDER, target, NULL, MS_BIND, NULL) < 0 ||
		mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL) < 0)
		return fault_set_errno(fault, "cannot mount the toolbox");
	return 0;
}

/*
 * A mount namespace of the process's own, which still sees what init mounts later, but not the
 * other way round: so does the image's disk come into it.
 */
static int enter_namespace(struct fault *fault)
{
	if (mount(NULL, "/", NULL, MS_SHARED, NULL) < 0 || unshare(CLONE_NEWNS) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return fault_set_errno(fault, "cannot make a mount namespace");
	return 0;
}

int image_prepare(struct fault *fault)
{
	const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	umask(0);
	if (enter_namespace(fault) < 0 || make_folder(SURROUNDINGS, fault) < 0)
		return -1;
	if (mount_at("proc", SURROUNDINGS "/proc", plain, NULL, fault) < 0)
		return -1;
	if (mount_at("sysfs", SURROUNDINGS "/sys", plain, NULL, fault) < 0)
		return -1;
	if (mount_at("tmpfs", SURROUNDINGS "/dev", MS_NOSUID, "mode=755,size=64m", fault) < 0)
		return -1;
	if (fill_dev(fault) < 0)
		return -1;
	if (mount_at("devpts", SURROUNDINGS "/dev/pts", MS_NOSUID | MS_NOEXEC,
		    "newinstance,ptmxmode=0666,mode=0620,gid=5", fault) < 0)
		return -1;
	if (mount_at("tmpfs", SURROUNDINGS "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", fault) <
		0)
		return -1;
	return mount_toolbox(fault);
}

/*
 * Moves a mount onto a folder of the image. Nothing of the image runs yet, so that the look at it
 * cannot be overtaken; the name has one part, so that no symlink can redirect it.
 */
static int move_into(const char *type, const char *name, struct fault *fault)
{
	char from[64], to[64];
	struct stat st;
	snprintf(from, sizeof(from), SURROUNDINGS "/%s", name);
	snprintf(to, sizeof(to), IMAGE_FOLDER "/%s", name);
	if (lstat(to, &st) < 0)
		return fault_set_errno(
			fault, "the image has no folder /%s to mount %s on", name, type);
	if (!S_ISDIR(st.st_mode))
		return fault_set(fault,
			"/%s of the image is %s, where a folder to mount %s on is needed", name,
			S_ISLNK(st.st_mode) ? "a symlink" : "no folder", type);
	if (mount(from, to, NULL, MS_MOVE, NULL) < 0)
		return fault_set_errno(fault, "cannot mount %s on /%s of the image", type, name);
	return 0;
}

int image_surround(struct fault *fault)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fault_set_errno(fault, "cannot leave init's mounts alone");
	if (move_into("proc", "proc", fault) < 0 || move_into("sysfs", "sys", fault) < 0)
		return -1;
	return move_into("tmpfs", "dev", fault);
}

/*
 * Not a chroot alone: the kernel makes no user namespace for a process whose root is not the root
 * of its mount namespace (user_namespaces(7), EPERM of clone and unshare). pivot_root(2) cannot
 * take the initramfs away, so the image's mount is moved over the initramfs.
 */
int image_enter(struct fault *fault)
{
	if (chdir(IMAGE_FOLDER) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 ||
		chroot(".") < 0 || chdir("/") < 0)
		return fault_set_errno(fault, "cannot enter the image");
	return 0;
}

/* An error tells that the file system was not frozen. */
void image_thaw(void)
{
	int fd = open(IMAGE_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	ioctl(fd, FITHAW, 0);
	close(fd);
}

/*
 * f_bavail leaves out what ext4 keeps for its own use, so it is 0 when a write fails; f_files
 * is 0 on file systems without a fixed number of inodes.
 */
uint32_t image_full(void)
{
	struct statvfs st;
	if (statvfs(IMAGE_FOLDER, &st) < 0)
		return 0;
	uint32_t blocks = st.f_bavail < FULL_BLOCKS ? EXIT_FLAG_DISK_FULL : 0;
	uint32_t inodes = st.f_files != 0 && st.f_ffree == 0 ? EXIT_FLAG_FILES_FULL : 0;
	return blocks | inodes;
}
