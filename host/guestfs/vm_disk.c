#include "guestfs/vm_disk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/memory.h"

#define SECTOR 512
#define HEAD_SIZE (72u * 1024) /* up to and with btrfs's superblock at 64 KiB */
#define VMDK_DESCRIPTOR_MAX (20u * SECTOR)

/* The first bytes of a file; what it lacks of them is zeros. */
struct head {
	uint8_t bytes[HEAD_SIZE];
	size_t len;
	int fd;
	const char *name;
};

struct magic {
	size_t offset;
	const char *bytes;
	size_t len;
};
#define MAGIC(offset, text)                                                                        \
	{                                                                                          \
		offset, text, sizeof(text) - 1                                                     \
	}

/* What archives and compressed files begin with. */
static const struct magic no_disks[] = {
	MAGIC(257, "ustar"),
	MAGIC(0, "\x1f\x8b"),
	MAGIC(0, "\x28\xb5\x2f\xfd"),
	MAGIC(0, "\xfd"
		 "7zXZ"),
	MAGIC(0, "BZh"),
	MAGIC(0, "PK\x03\x04"),
	MAGIC(0, "{"),
};

/* File systems and volumes that fill a raw disk without partitions. */
static const struct magic raw_disks[] = {
	MAGIC(SECTOR, "EFI PART"), /* GUID partition table; of 4096-byte sectors: */
	MAGIC(4096, "EFI PART"),
	MAGIC(0, "XFSB"),
	MAGIC(64u * 1024 + 64, "_BHRfS_M"), /* btrfs */
	MAGIC(0, "LABELONE"),               /* LVM2: in one of the first four sectors */
	MAGIC(SECTOR, "LABELONE"),
	MAGIC(2u * SECTOR, "LABELONE"),
	MAGIC(3u * SECTOR, "LABELONE"),
};

static const struct magic qcow2 = MAGIC(0, "QFI\xfb");
static const struct magic vdi = MAGIC(64, "\x7f\x10\xda\xbe");
static const struct magic vmdk = MAGIC(0, "KDMV");
static const struct magic vmdk_text = MAGIC(0, "# Disk DescriptorFile");

static bool has(const struct head *head, const struct magic *magic)
{
	return memcmp(head->bytes + magic->offset, magic->bytes, magic->len) == 0;
}

static bool has_any(const struct head *head, const struct magic *magics, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (has(head, &magics[i]))
			return true;
	}
	return false;
}
#define HAS_ANY(head, magics) has_any(head, magics, sizeof(magics) / sizeof((magics)[0]))

static uint16_t le16(const struct head *head, size_t offset)
{
	uint16_t value;
	memcpy(&value, head->bytes + offset, sizeof(value));
	return le16toh(value);
}

static uint32_t le32(const struct head *head, size_t offset)
{
	uint32_t value;
	memcpy(&value, head->bytes + offset, sizeof(value));
	return le32toh(value);
}

static uint64_t le64(const struct head *head, size_t offset)
{
	uint64_t value;
	memcpy(&value, head->bytes + offset, sizeof(value));
	return le64toh(value);
}

static uint64_t be64(const struct head *head, size_t offset)
{
	uint64_t value;
	memcpy(&value, head->bytes + offset, sizeof(value));
	return be64toh(value);
}

/* Four entries at 446, of which one at least is used: status, type at 4, start at 8, size at 12. */
static bool has_mbr(const struct head *head)
{
	bool used = false;
	if (le16(head, 510) != 0xaa55)
		return false;
	for (size_t at = 446; at < 510; at += 16) {
		if ((head->bytes[at] & 0x7f) != 0)
			return false;
		if (head->bytes[at + 4] == 0)
			continue;
		if (le32(head, at + 8) == 0 || le32(head, at + 12) == 0)
			return false;
		used = true;
	}
	return used;
}

/* The superblock at 1024: counts of inodes and blocks, the block size's logarithm, the magic. */
static bool has_ext(const struct head *head)
{
	return le16(head, 1024 + 56) == 0xef53 && le32(head, 1024) != 0 &&
	       le32(head, 1024 + 4) != 0 && le32(head, 1024 + 24) <= 6;
}

/* The format, or NULL. */
static const char *tell(const struct head *head)
{
	if (has(head, &qcow2))
		return "qcow2";
	if (has(head, &vmdk) || has(head, &vmdk_text))
		return "vmdk";
	if (has(head, &vdi))
		return "vdi";
	if (HAS_ANY(head, no_disks))
		return NULL;
	return HAS_ANY(head, raw_disks) || has_mbr(head) || has_ext(head) ? "raw" : NULL;
}

static int read_some(int fd, void *data, size_t len, uint64_t offset, size_t *done)
{
	*done = 0;
	while (*done < len) {
		ssize_t n = pread(fd, (char *)data + *done, len - *done, (off_t)(offset + *done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*done += (size_t)n;
	}
	return 0;
}

/* QEMU's docs/interop/qcow2.txt: backing_file_offset at 8, incompatible_features at 72. */
static int check_qcow2(const struct head *head, struct error *err)
{
	uint64_t incompatible = (head->bytes[7] >= 3) ? be64(head, 72) : 0;
	if (be64(head, 8) == 0 && (incompatible & 4) == 0)
		return 0;
	return error_set(err, ERROR_INPUT, EINVAL,
		"%s: a qcow2 image over %s, which could be any file of this host; make it one "
		"image with `qemu-img convert -O qcow2`",
		head->name, (incompatible & 4) ? "an external data file" : "a backing file");
}

/* Whether a descriptor, which is text, names a parent. */
static bool names_parent(const void *text, size_t len)
{
	static const char parent[] = "parentFileNameHint";
	return memmem(text, len, parent, sizeof(parent) - 1) != NULL;
}

/*
 * A monolithic sparse extent says at 12 how long the disk is, 0 where the extents are listed in
 * its descriptor; that is at 28 with its length at 36, in sectors, and may name a parent. QEMU
 * looks for a parent in sector 1, wherever the descriptor is said to be.
 */
static int check_vmdk(const struct head *head, struct error *err)
{
	char text[VMDK_DESCRIPTOR_MAX];
	size_t len = 0;
	bool own = has(head, &vmdk) && le64(head, 12) != 0;
	uint64_t sector = own ? le64(head, 28) : 0;
	if (sector > (INT64_MAX - VMDK_DESCRIPTOR_MAX) / SECTOR)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: a vmdk image whose descriptor is said to be at sector %llu",
			head->name, (unsigned long long)sector);
	if (sector != 0) {
		int r = read_some(head->fd, text, sizeof(text), sector * SECTOR, &len);
		if (r < 0)
			return error_set(err, ERROR_INPUT, -r, "%s: %s", head->name, strerror(-r));
	}
	if (own && !names_parent(text, len) &&
		!names_parent(head->bytes + SECTOR, VMDK_DESCRIPTOR_MAX))
		return 0;
	return error_set(err, ERROR_INPUT, EINVAL,
		"%s: a vmdk image over other files, which could be any of this host; make it one "
		"image with `qemu-img convert -O qcow2`",
		head->name);
}

/* Opens a regular file and reads its head. The caller closes head->fd. */
static int read_head(const char *path, struct head *head, struct error *err)
{
	struct stat st;
	*head = (struct head){.name = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
	if (head->fd < 0)
		return error_set_errno(err, ERROR_INPUT, "%s", path);
	if (fstat(head->fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INPUT, EINVAL, "%s: is no regular file", path);
	int r = read_some(head->fd, head->bytes, sizeof(head->bytes), 0, &head->len);
	return r < 0 ? error_set(err, ERROR_INPUT, -r, "%s: %s", path, strerror(-r)) : 0;
}

static void cleanup_head_fn(struct head **head)
{
	if (*head != NULL)
		cleanup_close_fn(&(*head)->fd);
	free(*head);
}

bool is_vm_disk(const char *path)
{
	struct error ignored;
	__attribute__((cleanup(cleanup_head_fn))) struct head *head = xcalloc(1, sizeof(*head));
	return read_head(path, head, &ignored) == 0 && tell(head) != NULL;
}

const char *vm_disk_format(const char *path, struct error *err)
{
	__attribute__((cleanup(cleanup_head_fn))) struct head *head = xcalloc(1, sizeof(*head));
	if (read_head(path, head, err) < 0)
		return NULL;
	const char *format = tell(head);
	if (format == NULL) {
		error_set(err, ERROR_INPUT, EINVAL,
			"%s: no disk image: expected qcow2, vmdk, vdi, or a raw disk with "
			"partitions, "
			"LVM, ext, XFS or btrfs",
			path);
		return NULL;
	}
	int r = 0;
	if (strcmp(format, "qcow2") == 0)
		r = check_qcow2(head, err);
	else if (strcmp(format, "vmdk") == 0)
		r = check_vmdk(head, err);
	return r < 0 ? NULL : format;
}
