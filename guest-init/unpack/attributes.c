#include "unpack/attributes.h"

#include <archive.h>
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

#include "layer/acl.h"
#include "support/memory.h"

/* ext4's seconds: 34 bits, from 1901-12-13 to 2446-05-10. */
#define MTIME_MIN INT32_MIN
#define MTIME_MAX (((int64_t)1 << 34) + INT32_MIN - 1)

#define ACCESS_ACL "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"

#define LISTED_ATTRIBUTES_MAX 256 /* besides ACLs that are text in the archive */
#define PROC_PATH_SIZE 32

/*
 * Before 1970 libarchive gives the parts of pax's one signed number, "-1.25" as -1 s and
 * 250,000,000 ns; the kernel counts nanoseconds upwards from the second below.
 */
static struct timespec read_mtime(struct archive_entry *entry)
{
	int64_t sec = archive_entry_mtime(entry);
	long nsec = archive_entry_mtime_nsec(entry);
	if (nsec < 0 || nsec >= 1000000000)
		nsec = 0;
	if (sec < 0 && sec > INT64_MIN && nsec != 0) {
		sec--;
		nsec = 1000000000 - nsec;
	}
	if (sec < MTIME_MIN || sec > MTIME_MAX) {
		sec = sec < MTIME_MIN ? MTIME_MIN : MTIME_MAX;
		nsec = 0;
	}
	return (struct timespec){.tv_sec = sec, .tv_nsec = nsec};
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

static void add(struct attributes *out, const char *name, const void *value, size_t len)
{
	out->items[out->count++] = (struct attribute){.name = name, .value = value, .len = len};
}

static int read_acls(struct archive_entry *entry, struct attributes *out, struct error *err)
{
	int r = acl_to_xattr(entry, false, &out->access_acl, err);
	if (r == 0)
		r = acl_to_xattr(entry, true, &out->default_acl, err);
	if (r == 0 && out->access_acl.len != 0)
		add(out, ACCESS_ACL, out->access_acl.data, out->access_acl.len);
	if (r == 0 && out->default_acl.len != 0)
		add(out, DEFAULT_ACL, out->default_acl.data, out->default_acl.len);
	return r;
}

static bool is_acl(const char *name)
{
	return strcmp(name, ACCESS_ACL) == 0 || strcmp(name, DEFAULT_ACL) == 0;
}

/* Whether Linux has such attributes: xattr(7), "Extended attribute namespaces". */
static bool is_known(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 ||
	       strncmp(name, "security.", 9) == 0 || is_acl(name);
}

static int read_items(struct archive_entry *entry, struct attributes *out, struct error *err)
{
	const char *name;
	const void *value;
	size_t len;
	int r = read_acls(entry, out, err);
	if (r < 0)
		return r;
	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK) {
		if (name == NULL || !is_known(name))
			continue;
		if (out->count >= LISTED_ATTRIBUTES_MAX || len > UINT16_MAX)
			return error_set(err, ERROR_INPUT, E2BIG,
				"more or larger extended attributes than Linux has");
		add(out, name, value, len);
	}
	return 0;
}

int attributes_read(struct archive_entry *entry, struct attributes *out, struct error *err)
{
	out->mode = acl_mode(entry, archive_entry_mode(entry)) & (S_IFMT | 07777);
	out->mtime = read_mtime(entry);
	out->count = 0;
	out->access_acl = (struct buffer){0};
	out->default_acl = (struct buffer){0};
	int r = read_owner(entry, out, err);
	return r < 0 ? r : read_items(entry, out, err);
}

void attributes_free(struct attributes *attributes)
{
	buffer_free(&attributes->access_acl);
	buffer_free(&attributes->default_acl);
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
static int check_kept(const char *path, const struct attribute *item, struct error *err)
{
	cleanup_free void *value = xmalloc(item->len);
	ssize_t len = getxattr(path, item->name, value, item->len);
	if (len != (ssize_t)item->len || memcmp(value, item->value, item->len) != 0)
		return error_set(err, ERROR_INPUT, EINVAL,
			"attribute %s: Linux does not keep this ACL as it is", item->name);
	return 0;
}

static int set_item(const char *path, const struct attribute *item, struct error *err)
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
