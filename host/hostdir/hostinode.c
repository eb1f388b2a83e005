#include "hostdir/hostinode.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "support/buffer.h"
#include "support/memory.h"

static int read_target(
	struct tree *tree, const struct scan_entry *entry, struct inode *inode, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(entry->dir, entry->name, target, sizeof(target));
	if (n < 0)
		return error_set_errno(
			err, ERROR_INPUT, "%s: cannot read the symlink", entry->path);
	if (n == 0 || (size_t)n == sizeof(target))
		return error_set(err, ERROR_INPUT, ENAMETOOLONG,
			"%s: the symlink's target has %zd bytes or more; it may have 1 to %zu",
			entry->path, n, sizeof(target) - 1);
	char *copy = tree_alloc(tree, (size_t)n + 1);
	memcpy(copy, target, (size_t)n);
	inode->target = copy;
	inode->size = (uint64_t)n;
	return 0;
}

int hostinode_new(
	struct tree *tree, const struct scan_entry *entry, struct inode **out, struct error *err)
{
	const struct statx *st = &entry->st;
	struct inode *inode = tree_inode_new(tree, st->stx_mode);
	inode->mtime_sec = st->stx_mtime.tv_sec;
	inode->mtime_nsec = st->stx_mtime.tv_nsec;
	if (inode_is_device(inode)) {
		inode->device.major = st->stx_rdev_major;
		inode->device.minor = st->stx_rdev_minor;
	}
	*out = inode;
	return S_ISLNK(inode->mode) ? read_target(tree, entry, inode, err) : 0;
}

int hostinode_read_data(
	struct spool *spool, const struct scan_entry *entry, struct inode *inode, struct error *err)
{
	cleanup_close int fd = scan_open_file(entry, err);
	return fd < 0 ? fd : spool_add(spool, fd, entry->path, inode, err);
}

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_wanted(const char *name)
{
	static const char *const host_only[] = {"security.selinux", "security.SMACK64",
		"security.evm", "security.ima", "security.apparmor"};
	for (size_t i = 0; i < sizeof(host_only) / sizeof(host_only[0]); i++) {
		if (starts_with(name, host_only[i]))
			return false;
	}
	return starts_with(name, "user.") || starts_with(name, "security.") ||
	       strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

struct xattr_list {
	struct xattr *items;
	size_t count;
	size_t capacity;
	size_t borrowed; /* the first so many values belong to somebody else */
};

static void free_list(struct xattr_list *list)
{
	for (size_t i = list->borrowed; i < list->count; i++)
		free((void *)(uintptr_t)list->items[i].value);
	free(list->items);
}

static void add_item(struct xattr_list *list, const struct xattr *item)
{
	list->items = array_grow(list->items, list->count, &list->capacity, sizeof(struct xattr));
	list->items[list->count++] = *item;
}

/* The names, each with its NUL; none where the file system has no attributes. */
static int list_names(
	const char *proc_path, const char *path, struct buffer *names, struct error *err)
{
	char *to = buffer_reserve(names, XATTR_LIST_MAX);
	ssize_t n = llistxattr(proc_path, to, XATTR_LIST_MAX);
	if (n < 0 && (errno == ENOTSUP || errno == ENOSYS))
		return 0;
	if (n < 0)
		return error_set_errno(
			err, ERROR_INPUT, "%s: cannot list its extended attributes", path);
	names->len += (size_t)n;
	return 0;
}

/* Adds one attribute; not one that is gone by now or may not be read. */
static int read_value(const char *proc_path, const char *name, const char *path,
	struct xattr_list *list, struct error *err)
{
	cleanup_free void *value = xmalloc(XATTR_SIZE_MAX);
	ssize_t n = lgetxattr(proc_path, name, value, XATTR_SIZE_MAX);
	if (n < 0 && (errno == ENODATA || errno == EPERM || errno == EACCES || errno == ENOTSUP))
		return 0;
	if (n < 0)
		return error_set_errno(
			err, ERROR_INPUT, "%s: cannot read its extended attribute %s", path, name);
	const struct xattr item = {
		.name = name, .value = xmemdup(value, (size_t)n), .len = (uint32_t)n};
	add_item(list, &item);
	return 0;
}

int hostinode_read_xattrs(struct tree *tree, const struct scan_entry *entry,
	const struct xattrs *like, struct inode *inode, struct error *err)
{
	/* There is no llistxattr relative to a descriptor; /proc names what a descriptor is. */
	char proc_path[64 + TREE_NAME_MAX];
	snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d/%s%s", entry->dir, entry->name,
		entry->followed ? "/." : "");
	cleanup_buffer struct buffer names = {0};
	int r = list_names(proc_path, entry->path, &names, err);
	if (r < 0)
		return r;
	__attribute__((cleanup(free_list))) struct xattr_list list = {0};
	for (; like != NULL && list.count < like->count; list.borrowed++)
		add_item(&list, &like->items[list.count]);
	for (size_t at = 0; at < names.len;) {
		const char *name = (const char *)names.data + at;
		at += strlen(name) + 1;
		r = is_wanted(name) ? read_value(proc_path, name, entry->path, &list, err) : 0;
		if (r < 0)
			return r;
	}
	inode->xattrs = tree_xattrs(tree, list.items, list.count);
	return 0;
}
