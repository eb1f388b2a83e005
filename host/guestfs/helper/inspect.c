#include "guestfs/helper/inspect.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "guestfs/helper/fault.h"
#include "guestfs/helper/say.h"
#include "support/buffer.h"
#include "support/memory.h"

static void cleanup_list_fn(char ***list)
{
	for (size_t i = 0; *list != NULL && (*list)[i] != NULL; i++)
		free((*list)[i]);
	free(*list);
}
#define cleanup_list __attribute__((cleanup(cleanup_list_fn)))

static size_t length(char *const *list)
{
	size_t n = 0;
	while (list[n] != NULL)
		n++;
	return n;
}

/* Whether a file system, by libguestfs's word for its type, can be mounted at all. */
static bool is_mountable(const char *type)
{
	static const char *const others[] = {"unknown", "swap", "LVM2_member", "crypto_LUKS"};
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(type, others[i]) == 0)
			return false;
	}
	return *type != '\0';
}

/* "/dev/sda1 (ext4), /dev/vg/root (xfs)". list: pairs of device and type. *only: the last one. */
static size_t list_mountable(char *const *list, struct buffer *words, const char **only)
{
	size_t count = 0;
	for (size_t i = 0; list[i] != NULL && list[i + 1] != NULL; i += 2) {
		if (!is_mountable(list[i + 1]))
			continue;
		buffer_printf(words, "%s%s (%s)", count != 0 ? ", " : "", list[i], list[i + 1]);
		*only = list[i];
		count++;
	}
	return count;
}

static int mount_root(guestfs_h *g, const char *device, struct error *err)
{
	return guestfs_mount_ro(g, device, "/") < 0 ? fault(g, ERROR_INPUT, device, err) : 0;
}

/* No operating system was found: one file system alone is no question. */
static int mount_only(guestfs_h *g, struct error *err)
{
	cleanup_list char **list = guestfs_list_filesystems(g);
	cleanup_buffer struct buffer words = {0};
	const char *only = NULL;
	if (list == NULL)
		return fault(g, ERROR_INPUT, "its file systems cannot be listed", err);
	size_t count = list_mountable(list, &words, &only);
	cleanup_free char *text = buffer_steal_text(&words);
	if (count == 0)
		return error_set(
			err, ERROR_INPUT, ENOENT, "no file system was found that can be mounted");
	if (count > 1)
		return error_set(err, ERROR_INPUT, ENOENT,
			"no operating system was found; of its file systems, %s, name one with "
			"--root",
			text);
	say_note("no operating system was found; its only file system, %s, is taken", text);
	return mount_root(g, only, err);
}

static int several(guestfs_h *g, char *const *roots, struct error *err)
{
	cleanup_buffer struct buffer words = {0};
	for (size_t i = 0; roots[i] != NULL; i++) {
		cleanup_free char *product = guestfs_inspect_get_product_name(g, roots[i]);
		buffer_printf(&words, "%s%s (%s)", i != 0 ? ", " : "", roots[i],
			product != NULL ? product : "unknown");
	}
	cleanup_free char *text = buffer_steal_text(&words);
	return error_set(err, ERROR_INPUT, ENOTUNIQ,
		"several operating systems were found, %s: name one with --root", text);
}

/* Shorter mount points come first: what is below them is mounted over them. */
static int compare_mounts(const void *a, const void *b)
{
	size_t x = strlen(((char *const *)a)[0]);
	size_t y = strlen(((char *const *)b)[0]);
	return (x > y) - (x < y);
}

/*
 * The root, and what its fstab has: pairs of mount point and device. What the fstab calls the root
 * is passed over, since it may be of another machine; the system was found on this one.
 */
static int mount_system(guestfs_h *g, const char *root, struct error *err)
{
	cleanup_list char **mounts = guestfs_inspect_get_mountpoints(g, root);
	if (mounts == NULL)
		return fault(g, ERROR_INPUT, root, err);
	int r = mount_root(g, root, err);
	if (r < 0)
		return r;
	size_t count = length(mounts) / 2;
	qsort(mounts, count, 2 * sizeof(char *), compare_mounts);
	for (size_t i = 0; i < count; i++) {
		const char *point = mounts[2 * i];
		const char *device = mounts[2 * i + 1];
		if (strcmp(point, "/") != 0 && guestfs_mount_ro(g, device, point) < 0)
			say_warning("%s is left out: %s of the disk's fstab cannot be mounted: %s",
				point, device, guestfs_last_error(g));
	}
	return 0;
}

int inspect_and_mount(guestfs_h *g, const char *root, struct error *err)
{
	cleanup_list char **roots = guestfs_inspect_os(g);
	if (roots == NULL)
		return fault(g, ERROR_INPUT, "its operating system cannot be found", err);
	if (root == NULL && roots[0] == NULL)
		return mount_only(g, err);
	if (root == NULL && roots[1] != NULL)
		return several(g, roots, err);
	for (size_t i = 0; roots[i] != NULL; i++) {
		if (root == NULL || strcmp(roots[i], root) == 0)
			return mount_system(g, roots[i], err);
	}
	return mount_root(g, root, err);
}
