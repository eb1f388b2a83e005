#include "devices.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "modules.h"
#include "protocol.h"
#include "setting.h"

#define BUS "/sys/bus/virtio/devices"
#define DEVICE_WAIT_SECONDS 30
#define ENTROPY_MAX 512
#define DISK_PATH_SIZE 16

/* Programs that talk to themselves over 127.0.0.1 find it, although there is no network. */
static int bring_loopback_up(struct fault *fault)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fault_set_errno(fault, "cannot open a socket");
	int r = ioctl(fd, SIOCSIFFLAGS, &request);
	if (r < 0)
		fault_set_errno(fault, "cannot bring the loopback interface up");
	close(fd);
	return r;
}

/* A script that starts another kernel gets EPERM: that kernel would know nothing of the host. */
static int forbid_other_kernels(struct fault *fault)
{
	int r = setting_write("/proc/sys/kernel/kexec_load_disabled", "1", fault);
	return r < 0 && errno == ENOENT ? 0 : r;
}

int devices_prepare(struct fault *fault)
{
	static const char name[] = "layervm";
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return fault_set_errno(fault, "cannot mount /proc");
	if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return fault_set_errno(fault, "cannot mount /sys");
	if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL) < 0)
		return fault_set_errno(fault, "cannot mount /dev");
	if (sethostname(name, sizeof(name) - 1) < 0)
		return fault_set_errno(fault, "cannot set the host name");
	if (forbid_other_kernels(fault) < 0)
		return -1;
	return bring_loopback_up(fault);
}

static int wait_for(int watch, const char *path, struct fault *fault)
{
	struct pollfd fds = {.fd = watch, .events = POLLIN};
	char events[4096];
	while (access(path, F_OK) < 0) {
		int r = poll(&fds, 1, DEVICE_WAIT_SECONDS * 1000);
		if (r == 0)
			return fault_set(fault, "%s did not appear in %d seconds", path,
				DEVICE_WAIT_SECONDS);
		if ((r < 0 || read(watch, events, sizeof(events)) < 0) && errno != EINTR)
			return fault_set_errno(fault, "cannot wait for %s", path);
	}
	return 0;
}

/*
 * virtio_console makes its ports from a work queue, some time after the module was loaded; the
 * watch stands before the first look, so that no device can slip between them.
 */
int devices_wait_for(const char *path, struct fault *fault)
{
	int watch = inotify_init1(IN_CLOEXEC);
	if (watch < 0)
		return fault_set_errno(fault, "cannot watch /dev");
	int r = inotify_add_watch(watch, "/dev", IN_CREATE);
	if (r < 0)
		fault_set_errno(fault, "cannot watch /dev");
	if (r >= 0)
		r = wait_for(watch, path, fault);
	close(watch);
	return r < 0 ? -1 : 0;
}

/* The kinds of devices that differ from guest to guest (virtio 1.2, section 5, "Device Types"). */
enum virtio_kind { VIRTIO_NETWORK = 1, VIRTIO_DISK = 2 };

struct found {
	unsigned disks;
	bool network;
};

/* What kind of device one on the bus is. */
static int read_kind(int bus, const char *name, unsigned long *kind, struct fault *fault)
{
	char path[NAME_MAX + 16];
	char text[32] = "";
	snprintf(path, sizeof(path), "%s/device", name);
	int fd = openat(bus, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_set_errno(fault, "cannot open " BUS "/%s", path);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		fault_set_errno(fault, "cannot read " BUS "/%s", path);
	close(fd);
	*kind = strtoul(text, NULL, 16);
	return n < 0 ? -1 : 0;
}

/* Looks at what there is on the bus, whose own modules have found it all by now. */
static int find_devices(struct found *found, struct fault *fault)
{
	DIR *bus = opendir(BUS);
	if (bus == NULL)
		return fault_set_errno(fault, "cannot open " BUS);
	int r = 0;
	for (struct dirent *entry; r == 0 && (entry = readdir(bus)) != NULL;) {
		unsigned long kind = 0;
		if (entry->d_name[0] == '.')
			continue;
		r = read_kind(dirfd(bus), entry->d_name, &kind, fault);
		found->disks += kind == VIRTIO_DISK;
		found->network |= kind == VIRTIO_NETWORK;
	}
	closedir(bus);
	return r;
}

static void disk_path(unsigned i, char path[static DISK_PATH_SIZE])
{
	snprintf(path, DISK_PATH_SIZE, "/dev/vd%c", 'a' + (int)i);
}

/* A disk more than the letters are for would be one that nobody mounts. */
static int wait_for_disks(unsigned count, struct fault *fault)
{
	char path[DISK_PATH_SIZE];
	if (count == 0 || count > DEVICE_DISKS_MAX)
		return fault_set(fault, "the guest has %u disks", count);
	int r = 0;
	for (unsigned i = 0; r == 0 && i < count; i++) {
		disk_path(i, path);
		r = devices_wait_for(path, fault);
	}
	return r;
}

int devices_load(struct fault *fault)
{
	struct found found = {0};
	if (modules_load(MODULES_OF_ALL, fault) < 0 || find_devices(&found, fault) < 0)
		return -1;
	if (found.network && modules_load(MODULES_OF_NETWORK, fault) < 0)
		return -1;
	if (wait_for_disks(found.disks, fault) < 0)
		return -1;
	return devices_wait_for(DEVICE_CHANNEL, fault);
}

int devices_add_entropy(const void *data, size_t len, struct fault *fault)
{
	union {
		struct rand_pool_info info;
		char bytes[sizeof(struct rand_pool_info) + ENTROPY_MAX];
	} pool;
	if (len > ENTROPY_MAX)
		return fault_set(fault, "%zu random bytes, at most %d are taken", len, ENTROPY_MAX);
	pool.info.entropy_count = (int)len * 8;
	pool.info.buf_size = (int)len;
	memcpy(pool.bytes + offsetof(struct rand_pool_info, buf), data, len);
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_set_errno(fault, "cannot open /dev/urandom");
	int r = ioctl(fd, RNDADDENTROPY, &pool);
	if (r == 0)
		r = ioctl(fd, RNDRESEEDCRNG);
	if (r < 0)
		fault_set_errno(fault, "cannot seed the random numbers");
	close(fd);
	return r;
}

static int forget_disk(const char *path, struct fault *fault)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_set_errno(fault, "cannot open %s", path);
	int r = ioctl(fd, BLKFLSBUF, 0);
	if (r < 0)
		fault_set_errno(fault, "cannot empty the cache of %s", path);
	close(fd);
	return r;
}

int devices_forget_disks(struct fault *fault)
{
	char path[DISK_PATH_SIZE];
	int r = 0;
	for (unsigned i = 0; r == 0 && i < DEVICE_DISKS_MAX; i++) {
		disk_path(i, path);
		if (i > 0 && access(path, F_OK) < 0)
			break;
		r = forget_disk(path, fault);
	}
	return r;
}

int devices_set_clock(uint64_t seconds, uint32_t nanoseconds, struct fault *fault)
{
	const struct timespec now = {.tv_sec = (time_t)seconds, .tv_nsec = (long)nanoseconds};
	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		return fault_set_errno(fault, "cannot set the clock");
	return 0;
}
