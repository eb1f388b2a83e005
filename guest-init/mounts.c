#include "mounts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "devices.h"
#include "inside.h"
#include "volume.h"

#define FOLDER "/mounts"

/* No devices and no set-uid programs come from outside of the image. */
#define MOUNT_FLAGS (MS_NOSUID | MS_NODEV | MS_NOATIME)

/* Offsets in the payload of MOUNT. */
enum { AT_KIND = 0, AT_NUMBER = 4, AT_FLAGS = 8 };

int mounts_take(struct mounts *mounts, const void *payload, size_t length, struct fault *fault)
{
	const uint8_t *bytes = payload;
	if (length <= MOUNT_HEADER_SIZE)
		return fault_set(fault, "the host described a mount in %zu bytes", length);
	if (mounts->count == MOUNTS_MAX)
		return fault_set(fault, "more than %d mounts from the host", MOUNTS_MAX);
	struct mount_entry *entry = &mounts->entries[mounts->count];
	uint32_t kind = protocol_get_u32(bytes + AT_KIND);
	*entry = (struct mount_entry){
		.kind = (enum mount_kind)kind,
		.number = protocol_get_u32(bytes + AT_NUMBER),
		.read_only = (protocol_get_u32(bytes + AT_FLAGS) & MOUNT_FLAG_READ_ONLY) != 0,
	};
	if (kind != MOUNT_DISK && kind != MOUNT_TMPFS)
		return fault_set(fault, "a mount of kind %u from the host", kind);
	if (kind == MOUNT_DISK && (entry->number < 1 || entry->number >= DEVICE_DISKS_MAX))
		return fault_set(fault, "a mount of disk %u from the host", entry->number);
	entry->path = strndup((const char *)bytes + MOUNT_HEADER_SIZE, length - MOUNT_HEADER_SIZE);
	if (entry->path == NULL)
		return fault_set(fault, "no memory for the mounts");
	mounts->count++;
	return 0;
}

/* Where entry number i is mounted outside of the image: a disk by its own number. */
static void place_of(const struct mounts *mounts, size_t i, char place[static 32])
{
	const struct mount_entry *entry = &mounts->entries[i];
	if (entry->kind == MOUNT_DISK)
		snprintf(place, 32, FOLDER "/%u", entry->number);
	else
		snprintf(place, 32, FOLDER "/tmpfs-%zu", i);
}

/* Whether entry i is the first of its disk, and whether one of that disk's mounts is written to. */
static bool is_first(const struct mounts *mounts, size_t i, bool *read_only)
{
	bool first = true;
	*read_only = true;
	for (size_t j = 0; j < mounts->count; j++) {
		const struct mount_entry *other = &mounts->entries[j];
		if (other->kind != MOUNT_DISK || other->number != mounts->entries[i].number)
			continue;
		first = first && j >= i;
		*read_only = *read_only && other->read_only;
	}
	return first;
}

static int mount_tmpfs(const char *place, uint32_t mebibytes, struct fault *fault)
{
	char options[64] = "mode=1777";
	if (mebibytes != 0)
		snprintf(options, sizeof(options), "mode=1777,size=%um", mebibytes);
	if (mount("tmpfs", place, "tmpfs", MOUNT_FLAGS, options) < 0)
		return fault_set_errno(fault, "cannot mount a tmpfs");
	return 0;
}

static int mount_disk(
	struct mount_entry *entry, const char place[static 32], bool read_only, struct fault *fault)
{
	struct volume *volume = &entry->volume;
	unsigned long flags = MOUNT_FLAGS | (read_only ? MS_RDONLY : 0);
	*volume = (struct volume){.what = "a mounted disk"};
	memcpy(volume->folder, place, sizeof(volume->folder));
	snprintf(volume->device, sizeof(volume->device), "/dev/vd%c", 'a' + (int)entry->number);
	if (devices_wait_for(volume->device, fault) < 0)
		return -1;
	return volume_mount(volume, flags, fault);
}

int mounts_prepare(struct mounts *mounts, struct fault *fault)
{
	char place[32];
	if (mounts->count > 0 && mkdir(FOLDER, 0755) < 0)
		return fault_set_errno(fault, "cannot make " FOLDER);
	for (size_t i = 0; i < mounts->count; i++) {
		struct mount_entry *entry = &mounts->entries[i];
		bool read_only = false;
		if (entry->kind == MOUNT_DISK && !is_first(mounts, i, &read_only))
			continue;
		place_of(mounts, i, place);
		if (mkdir(place, 0755) < 0)
			return fault_set_errno(fault, "cannot make %s", place);
		int r = entry->kind == MOUNT_DISK ? mount_disk(entry, place, read_only, fault)
						  : mount_tmpfs(place, entry->number, fault);
		if (r < 0)
			return -1;
	}
	return 0;
}

int mounts_surround(const struct mounts *mounts, struct fault *fault)
{
	char place[32];
	for (size_t i = 0; i < mounts->count; i++) {
		const struct mount_entry *entry = &mounts->entries[i];
		const struct inside to = {
			.path = entry->path,
			.attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				      (entry->read_only ? MOUNT_ATTR_RDONLY : 0),
		};
		place_of(mounts, i, place);
		if (inside_bind(place, &to, fault) < 0)
			return -1;
	}
	return 0;
}

int mounts_release(struct mounts *mounts, struct fault *fault)
{
	int r = 0;
	for (size_t i = 0; i < mounts->count; i++) {
		struct mount_entry *entry = &mounts->entries[i];
		struct fault other;
		bool read_only = false;
		if (entry->kind != MOUNT_DISK || !is_first(mounts, i, &read_only) || read_only)
			continue;
		if (volume_release(&entry->volume, r < 0 ? &other : fault) < 0)
			r = -1;
	}
	return r;
}
