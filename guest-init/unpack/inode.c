#include "unpack/inode.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "support/memory.h"
#include "unpack/attributes.h"
#include "unpack/prune.h"

#define SYMLINK_TARGET_MAX 4095

/* Linux's device numbers: linux/kdev_t.h. */
#define MAJOR_MAX 0xfff
#define MINOR_MAX 0xfffff

/* What the archive says of an inode's content, checked. */
struct content {
	mode_t type;
	const char *target; /* of a symlink */
	dev_t device;
	uint64_t size; /* of a regular file */
};

static int read_device(const struct tar_said *said, struct content *out, struct error *err)
{
	if (said->major > MAJOR_MAX || said->minor > MINOR_MAX)
		return error_set(err, ERROR_INPUT, ERANGE,
			"device number %" PRIu64 ":%" PRIu64 " is over Linux's %d:%d", said->major,
			said->minor, MAJOR_MAX, MINOR_MAX);
	out->device = makedev((unsigned)said->major, (unsigned)said->minor);
	return 0;
}

static int read_content(const struct member *member, struct content *out, struct error *err)
{
	struct archive_entry *entry = member->entry;
	*out = (struct content){.type = archive_entry_mode(entry) & S_IFMT};
	switch (out->type) {
	case S_IFREG:
		if (archive_entry_size(entry) < 0)
			return error_set(err, ERROR_INPUT, EINVAL, "a negative size");
		out->size = (uint64_t)archive_entry_size(entry);
		return 0;
	case S_IFLNK:
		out->target = member_symlink(member);
		if (out->target == NULL || *out->target == '\0' ||
			strlen(out->target) > SYMLINK_TARGET_MAX)
			return error_set(err, ERROR_INPUT, EINVAL,
				"a symlink to no name, or to one over %d bytes",
				SYMLINK_TARGET_MAX);
		return 0;
	case S_IFCHR:
	case S_IFBLK:
		return read_device(&member->said, out, err);
	case S_IFDIR:
	case S_IFIFO:
		return 0;
	default:
		return error_set(err, ERROR_INPUT, EINVAL, "an entry of unknown type");
	}
}

/* Makes the inode. Returns a descriptor of it, or -1 with errno. */
static int make_new(int dir, const char *name, const struct content *content)
{
	int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	int r;
	switch (content->type) {
	case S_IFREG:
		return openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	case S_IFLNK:
		r = symlinkat(content->target, dir, name);
		break;
	case S_IFDIR:
		r = mkdirat(dir, name, 0700);
		break;
	default:
		r = mknodat(dir, name, content->type | 0600, content->device);
		break;
	}
	return r < 0 ? -1 : openat(dir, name, flags);
}

/* Makes the inode where there is room for its name, or makes the room. *fd: of it. */
static int make(
	int dir, const char *name, const struct content *content, int *fd, struct error *err)
{
	struct stat st;
	*fd = make_new(dir, name, content);
	if (*fd >= 0)
		return 0;
	if (errno == EEXIST && content->type == S_IFDIR &&
		fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
		*fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	} else if (errno == EEXIST) {
		int r = prune_remove(dir, name, err);
		if (r < 0)
			return r;
		*fd = make_new(dir, name, content);
	}
	return *fd < 0 ? error_set_errno(err, ERROR_GUEST, "cannot be made") : 0;
}

static int write_all(int fd, const void *data, size_t len, uint64_t offset, struct error *err)
{
	const char *at = data;
	while (len > 0) {
		ssize_t n = pwrite(fd, at, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno == EFBIG ? ERROR_INPUT : ERROR_GUEST,
				"cannot be written");
		at += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* How many bytes the archive has of a file: all, or those of its sparse map. */
static uint64_t count_data(struct archive_entry *entry, uint64_t size)
{
	la_int64_t offset, length;
	uint64_t sum = 0;
	if (archive_entry_sparse_reset(entry) <= 0)
		return size;
	while (archive_entry_sparse_next(entry, &offset, &length) == ARCHIVE_OK)
		sum += (uint64_t)length;
	return sum;
}

/*
 * Holes stay holes. A sparse map may tell of more than there is, or of pieces that overlap: of
 * these libarchive gives the data, but not the place in the map.
 */
static int write_data(const struct member *member, int fd, uint64_t size, struct error *err)
{
	struct archive *archive = member->archive;
	uint64_t expected = count_data(member->entry, size);
	uint64_t written = 0;
	const void *data;
	size_t len;
	la_int64_t offset;
	for (;;) {
		int status = archive_read_data_block(archive, &data, &len, &offset);
		if (status == ARCHIVE_EOF)
			break;
		if (status != ARCHIVE_OK)
			return error_set(err, ERROR_INPUT, EINVAL, "its data: %s",
				archive_error_string(archive));
		if (offset < 0 || (uint64_t)offset > size || len > size - (uint64_t)offset)
			return error_set(err, ERROR_INPUT, EINVAL,
				"its sparse map has data at byte %" PRId64 " of %" PRIu64,
				(int64_t)offset, size);
		int r = write_all(fd, data, len, (uint64_t)offset, err);
		if (r < 0)
			return r;
		written += len;
	}
	if (written != expected)
		return error_set(err, ERROR_INPUT, EINVAL,
			"its sparse map tells of %" PRIu64 " bytes, its data has %" PRIu64,
			expected, written);
	if (ftruncate(fd, (off_t)size) < 0)
		return error_set_errno(err, errno == EFBIG ? ERROR_INPUT : ERROR_GUEST,
			"cannot be given its size of %" PRIu64 " bytes", size);
	return 0;
}

int inode_make(int dir, const char *name, struct member *member, struct error *err)
{
	struct content content = {0};
	struct attributes attributes;
	cleanup_close int fd = -1;
	int r = attributes_read(member, &attributes, err);
	if (r == 0)
		r = read_content(member, &content, err);
	if (r == 0)
		r = make(dir, name, &content, &fd, err);
	if (r == 0 && content.type == S_IFREG)
		r = write_data(member, fd, content.size, err);
	if (r == 0)
		r = attributes_set(&attributes, fd, err);
	return r;
}
