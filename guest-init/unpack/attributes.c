#include "unpack/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "support/memory.h"

/* ext4's seconds: 34 bits, from 1901-12-13 to 2446-05-10. */
#define MTIME_MIN INT32_MIN
#define MTIME_MAX (((int64_t)1 << 34) + INT32_MIN - 1)

#define ACCESS_ACL "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"

#define PROC_PATH_SIZE 32

static struct timespec read_mtime(const struct tar_said *said)
{
	if (said->mtime_sec < MTIME_MIN)
		return (struct timespec){.tv_sec = MTIME_MIN};
	if (said->mtime_sec > MTIME_MAX)
		return (struct timespec){.tv_sec = MTIME_MAX};
	return (struct timespec){.tv_sec = said->mtime_sec, .tv_nsec = said->mtime_nsec};
}

static int read_owner(struct archive_entry *entry, struct attributes *out, struct error *err)
{
	int64_t uid = archive_entry_uid(entry);
	int64_t gid = archive_entry_gid(entry);
	/* The last number stands for "none" in Linux. */
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return error_set(err, ERROR_INPUT, ERANGE,
			"its owner %" PRId64 ":%" PRId64 " is no pair of Linux ids", uid, gid);
	out->uid = (uid_t)uid;
	out->gid = (gid_t)gid;
	return 0;
}

static bool is_acl(const char *name)
{
	return strcmp(name, ACCESS_ACL) == 0 || strcmp(name, DEFAULT_ACL) == 0;
}

int attributes_read(struct member *member, struct attributes *out, struct error *err)
{
	/* Of ACLs that are text libarchive makes a part of the mode. */
	out->mode = (archive_entry_mode(member->entry) & S_IFMT) | member->said.mode;
	out->mtime = read_mtime(&member->said);
	int r = read_owner(member->entry, out, err);
	return r < 0 ? r : pax_xattrs(&member->said.pax, out->items, &out->count, err);
}

/* Removes what the inode has: of a directory's past, or from the default ACL of the one above. */
static int strip(const char *path, struct error *err)
{
	char few[1024];
	cleanup_free char *many = NULL;
	char *names = few;
	ssize_t len = listxattr(path, few, sizeof(few));
	if (len < 0 && errno == ERANGE) {
		many = xmalloc(XATTR_LIST_MAX);
		names = many;
		len = listxattr(path, many, XATTR_LIST_MAX);
	}
	if (len < 0)
		return error_set_errno(err, ERROR_GUEST, "its attributes cannot be listed");
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		if (removexattr(path, name) < 0)
			return error_set_errno(
				err, ERROR_GUEST, "attribute %s cannot be removed", name);
	}
	return 0;
}

/*
 * The kernel reads ACLs: it leaves out one that says no more than the mode. What is not kept as
 * it is would come back as something else.
 */
static int check_kept(const char *path, const struct pax_xattr *item, struct error *err)
{
	cleanup_free void *value = xmalloc(item->len);
	ssize_t len = getxattr(path, item->name, value, item->len);
	if (len != (ssize_t)item->len || memcmp(value, item->value, item->len) != 0)
		return error_set(err, ERROR_INPUT, EINVAL,
			"attribute %s: Linux does not keep this ACL as it is", item->name);
	return 0;
}

static int set_item(const char *path, const struct pax_xattr *item, struct error *err)
{
	if (setxattr(path, item->name, item->value, item->len, 0) == 0)
		return is_acl(item->name) ? check_kept(path, item, err) : 0;
	bool ours = errno == EIO || errno == ENOMEM || errno == EROFS;
	return error_set_errno(err, ours ? ERROR_GUEST : ERROR_INPUT,
		"attribute %s of %zu bytes: Linux does not take it", item->name, item->len);
}

/* Archives have modes of symlinks; Linux has one for all, which nothing changes. */
static int set_mode(const char *path, mode_t mode, struct error *err)
{
	if (!S_ISLNK(mode) && chmod(path, mode & 07777) < 0)
		return error_set_errno(
			err, ERROR_GUEST, "mode 0%o cannot be set", (unsigned)mode & 07777);
	return 0;
}

/* An ACL brings a mode with it, which should be the one that the archive has. */
static int check_mode(int fd, mode_t mode, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_GUEST, "its mode cannot be looked at");
	if (st.st_mode != mode)
		return error_set(err, ERROR_INPUT, EINVAL,
			"its mode is to be 0%o, of which Linux makes 0%o", (unsigned)mode,
			(unsigned)st.st_mode);
	return 0;
}

/* The owner first: with it the kernel takes setuid bits and capabilities away. */
int attributes_set(const struct attributes *attributes, int fd, struct error *err)
{
	char path[PROC_PATH_SIZE];
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, attributes->mtime};
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fchownat(fd, "", attributes->uid, attributes->gid, AT_EMPTY_PATH) < 0)
		return error_set_errno(err, ERROR_GUEST, "its owner cannot be set");
	int r = strip(path, err);
	if (r == 0)
		r = set_mode(path, attributes->mode, err);
	for (size_t i = 0; r == 0 && i < attributes->count; i++)
		r = set_item(path, &attributes->items[i], err);
	if (r == 0 && attributes->count != 0 && !S_ISLNK(attributes->mode))
		r = check_mode(fd, attributes->mode, err);
	if (r == 0 && utimensat(AT_FDCWD, path, times, 0) < 0)
		r = error_set_errno(err, ERROR_GUEST, "its time cannot be set");
	return r;
}
