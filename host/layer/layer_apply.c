#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <string.h>

#include "layer/layer.h"
#include "layer/merge.h"
#include "layer/pax_xattr.h"
#include "layer/tar_check.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "support/ustar.h"

#define READ_CHUNK (64u * 1024)

/* Linux's device numbers: linux/kdev_t.h. */
#define MAJOR_MAX 0xfff
#define MINOR_MAX 0xfffff

/* A layer that is being read. */
struct reader {
	struct tree *tree;
	struct source *tar; /* what the files' data is read from afterwards */
	struct feed *feed;  /* what the tar is read from now; NULL: that source */
	uint64_t size;      /* UINT64_MAX: a feed's, nobody knows it before its end */
	uint64_t position;  /* of the next byte for libarchive */
	uint64_t data_end;  /* of the last entry's data where it is a file; 0: it is none */
	struct tar_check *check;
	uint8_t *chunk;
	int result; /* of the last read */
	struct error *err;
	struct merge merge;
};

static void archive_cleanup(struct archive **archive)
{
	archive_read_free(*archive);
}

/* Of a source the next bytes, at most READ_CHUNK. */
static int read_source(struct reader *r, const uint8_t **bytes, size_t *len)
{
	uint64_t rest = r->size - r->position;
	*len = rest < READ_CHUNK ? (size_t)rest : READ_CHUNK;
	*bytes = r->chunk;
	return *len == 0 ? 0 : r->tar->read(r->tar, r->chunk, *len, r->position, r->err);
}

static la_ssize_t on_read(struct archive *archive, void *data, const void **buffer)
{
	struct reader *r = data;
	const uint8_t *bytes = NULL;
	size_t n = 0;
	r->result = r->feed != NULL ? r->feed->next(r->feed, &bytes, &n, r->err)
				    : read_source(r, &bytes, &n);
	if (r->result == 0)
		r->result = tar_check_add(r->check, bytes, n, r->err);
	if (r->result < 0) {
		archive_set_error(archive, EIO, "%s", r->err->message);
		return -1;
	}
	*buffer = bytes;
	r->position += n;
	return (la_ssize_t)n;
}

static la_int64_t on_skip(struct archive *archive, void *data, la_int64_t request)
{
	struct reader *r = data;
	(void)archive;
	if (r->feed != NULL)
		return 0;
	uint64_t rest = r->size - r->position;
	uint64_t n = request <= 0 ? 0 : (uint64_t)request < rest ? (uint64_t)request : rest;
	/* Headers are for the check to see, whatever libarchive takes them for. */
	uint64_t skippable = tar_check_skippable(r->check);
	if (n > skippable)
		n = skippable;
	tar_check_skip(r->check, n);
	r->position += n;
	return (la_int64_t)n;
}

static int read_xattrs(
	struct reader *r, struct tar_said *said, struct inode *inode, const char *path)
{
	struct pax_xattr found[PAX_XATTRS_MAX];
	struct xattr items[PAX_XATTRS_MAX];
	size_t count;
	int code = pax_xattrs(&said->pax, found, &count, r->err);
	if (code < 0)
		return error_wrap(r->err, code, "%s", path);
	for (size_t i = 0; i < count; i++)
		items[i] = (struct xattr){.name = found[i].name,
			.value = found[i].value,
			.len = (uint32_t)found[i].len};
	inode->xattrs = tree_xattrs(r->tree, items, count);
	return 0;
}

/*
 * The segments of a file whose data begins at `start` of the tar: one, or those of a sparse map,
 * which are packed one after the other.
 */
static int read_segments(struct reader *r, struct archive_entry *entry, struct inode *inode,
	uint64_t start, const char *path)
{
	la_int64_t offset, length;
	int count = archive_entry_sparse_reset(entry);
	if (count <= 0) {
		if (start > r->size || inode->size > r->size - start)
			return error_set(r->err, ERROR_INPUT, EIO,
				"%s: its data ends after the layer does", path);
		inode_set_data(r->tree, inode, r->tar, start, inode->size);
		r->data_end = start + inode->size;
		return 0;
	}
	struct segment *segments = tree_alloc(r->tree, (size_t)count * sizeof(*segments));
	uint64_t logical_end = 0;
	while (archive_entry_sparse_next(entry, &offset, &length) == ARCHIVE_OK) {
		if (length == 0)
			continue;
		if (offset < 0 || length < 0 || (uint64_t)offset < logical_end ||
			(uint64_t)offset > inode->size ||
			(uint64_t)length > inode->size - (uint64_t)offset || start > r->size ||
			(uint64_t)length > r->size - start)
			return error_set(r->err, ERROR_INPUT, EINVAL,
				"%s: its sparse map does not fit the file", path);
		segments[inode->segment_count++] = (struct segment){
			.logical = (uint64_t)offset, .length = (uint64_t)length, .offset = start};
		logical_end = (uint64_t)offset + (uint64_t)length;
		start += (uint64_t)length;
	}
	inode->segments = segments;
	inode->source = r->tar;
	r->data_end = start;
	return 0;
}

static int read_owner(
	struct reader *r, struct archive_entry *entry, struct inode *inode, const char *path)
{
	la_int64_t uid = archive_entry_uid(entry);
	la_int64_t gid = archive_entry_gid(entry);
	/* The last number stands for "none" in Linux. */
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return error_set(r->err, ERROR_INPUT, ERANGE,
			"%s: its owner %" PRId64 ":%" PRId64 " is no pair of Linux ids", path,
			(int64_t)uid, (int64_t)gid);
	inode->uid = (uint32_t)uid;
	inode->gid = (uint32_t)gid;
	return 0;
}

static int read_device(
	struct reader *r, const struct tar_said *said, struct inode *inode, const char *path)
{
	if (said->major > MAJOR_MAX || said->minor > MINOR_MAX)
		return error_set(r->err, ERROR_INPUT, ERANGE,
			"%s: device number %" PRIu64 ":%" PRIu64 " is over Linux's %d:%d", path,
			said->major, said->minor, MAJOR_MAX, MINOR_MAX);
	inode->device.major = (uint32_t)said->major;
	inode->device.minor = (uint32_t)said->minor;
	return 0;
}

static void read_mtime(const struct tar_said *said, struct inode *inode)
{
	inode->mtime_sec = said->mtime_sec;
	inode->mtime_nsec = said->mtime_nsec;
	/* A pax record, such as a layer of ours has, takes no lower one. */
	if (inode->mtime_sec == INT64_MIN && inode->mtime_nsec == 0)
		inode->mtime_sec = -INT64_MAX;
}

static int read_inode(struct reader *r, struct archive_entry *entry, struct tar_said *said,
	uint64_t data_start, const char *path, struct inode **out)
{
	/* Of ACLs that are text libarchive makes a part of the mode. */
	uint32_t mode = (archive_entry_mode(entry) & S_IFMT) | said->mode;
	struct inode *inode = tree_inode_new(r->tree, mode);
	*out = inode;
	int code = read_owner(r, entry, inode, path);
	if (code < 0)
		return code;
	read_mtime(said, inode);
	code = read_xattrs(r, said, inode, path);
	if (code < 0)
		return code;
	const char *target;
	switch (mode & S_IFMT) {
	case S_IFREG:
		if (archive_entry_size(entry) < 0)
			return error_set(r->err, ERROR_INPUT, EINVAL, "%s: a negative size", path);
		inode->size = (uint64_t)archive_entry_size(entry);
		code = read_segments(r, entry, inode, data_start, path);
		break;
	case S_IFLNK:
		target = said->target != NULL ? said->target : archive_entry_symlink(entry);
		if (target == NULL || target[0] == '\0' || strlen(target) > 4095)
			return error_set(r->err, ERROR_INPUT, EINVAL,
				"%s: a symlink to no name, or to one over 4095 bytes", path);
		/* Archives have modes of symlinks, and not the same; Linux has one for all. */
		inode->mode = S_IFLNK | 0777;
		inode->size = strlen(target);
		inode->target = memcpy(tree_alloc(r->tree, inode->size + 1), target, inode->size);
		break;
	case S_IFCHR:
	case S_IFBLK:
		code = read_device(r, said, inode, path);
		break;
	case S_IFDIR:
	case S_IFIFO:
		break;
	default:
		return error_set(r->err, ERROR_INPUT, EINVAL, "%s: an entry of unknown type", path);
	}
	return code;
}

/* Such as a hard link has is cleaned as its own name is. */
static int read_link(struct reader *r, const struct member_path *path, const char *target)
{
	struct member_path to;
	int code = member_path_clean(target, &to, r->err);
	if (code < 0)
		return error_wrap(r->err, code, "%s: a hard link", path->text);
	if (path->len == 0)
		return error_set(r->err, ERROR_INPUT, EINVAL, "the root is to be no directory");
	return merge_link(&r->merge, path, &to, r->err);
}

static int apply_entry(
	struct reader *r, struct archive_entry *entry, struct tar_said *said, uint64_t data_start)
{
	/* Names in pax headers as they are: libarchive composes their characters. */
	const char *name = said->path != NULL ? said->path : archive_entry_pathname(entry);
	const char *target = archive_entry_hardlink(entry);
	if (target != NULL && said->target != NULL)
		target = said->target;
	struct member_path path;
	struct inode *inode = NULL;
	if (name == NULL)
		return error_set(r->err, ERROR_INPUT, EINVAL, "an entry without a name");
	int code = member_path_clean(name, &path, r->err);
	if (code < 0)
		return code;
	enum member_kind kind = member_path_kind(&path);
	if (kind == MEMBER_WHITEOUT || kind == MEMBER_OPAQUE)
		return merge_whiteout(&r->merge, &path, r->err);
	if (kind == MEMBER_NOTE || (kind == MEMBER_LINKED && target != NULL))
		return 0;
	if (target != NULL)
		return read_link(r, &path, target);
	code = read_inode(r, entry, said, data_start, name, &inode);
	if (code == 0 && kind == MEMBER_ENTRY)
		code = merge_inode(&r->merge, &path, inode, r->err);
	else if (code == 0 && !inode_is_dir(inode))
		merge_linked(&r->merge, &path, inode);
	return code;
}

/*
 * The next header follows a file's data, which is padded to whole blocks. A sparse map may claim
 * more than there is, and so the same bytes for many files; or less, where libarchive passes over
 * a part of it that does not fit the file.
 */
static int check_data_end(const struct reader *r, uint64_t at)
{
	if (r->data_end == 0 || (r->data_end <= at && at - r->data_end < TAR_BLOCK))
		return 0;
	return error_set(r->err, ERROR_INPUT, EINVAL,
		"at byte %" PRIu64 ": the file before has data up to byte %" PRIu64
		" by its sparse map",
		at, r->data_end);
}

static int read_entries(struct reader *r, struct archive *archive)
{
	struct archive_entry *entry;
	for (;;) {
		cleanup_tar_said struct tar_said said = {0};
		int code = interrupt_check(r->err);
		if (code < 0)
			return code;
		int status = archive_read_next_header(archive, &entry);
		/* Where libarchive gave up it does not tell the place any more. */
		int64_t at = archive_read_header_position(archive);
		if (at < 0)
			at = (int64_t)r->position;
		if (r->result < 0)
			return r->result;
		if (status != ARCHIVE_OK && status != ARCHIVE_WARN && status != ARCHIVE_EOF)
			return error_set(r->err, ERROR_INPUT, EINVAL, "at byte %" PRId64 ": %s", at,
				archive_error_string(archive));
		code = check_data_end(r, (uint64_t)at);
		if (code == 0)
			code = status == ARCHIVE_EOF
				       ? tar_check_end(r->check, r->err)
				       : tar_check_entry(r->check, (uint64_t)at, &said, r->err);
		if (code < 0 || status == ARCHIVE_EOF)
			return code;
		r->data_end = 0;
		/* All of the header has been taken: what comes next is the data. */
		code = apply_entry(r, entry, &said, (uint64_t)archive_filter_bytes(archive, 0));
		if (code == 0)
			code = merge_check(&r->merge, r->err);
		if (code < 0)
			return code;
	}
}

static int open_archive(struct reader *r, struct archive *archive)
{
	if (archive_read_support_format_tar(archive) != ARCHIVE_OK ||
		archive_read_support_format_empty(archive) != ARCHIVE_OK ||
		archive_read_set_callback_data(archive, r) != ARCHIVE_OK ||
		archive_read_set_read_callback(archive, on_read) != ARCHIVE_OK ||
		archive_read_set_skip_callback(archive, on_skip) != ARCHIVE_OK ||
		archive_read_open1(archive) != ARCHIVE_OK)
		return r->result < 0 ? r->result
				     : error_set(r->err, ERROR_INPUT, EINVAL, "not a tar: %s",
					       archive_error_string(archive));
	return 0;
}

static int apply(struct reader *r)
{
	__attribute__((cleanup(archive_cleanup))) struct archive *archive = archive_read_new();
	if (archive == NULL)
		return error_set(r->err, ERROR_INTERNAL, ENOMEM, "libarchive has no memory");
	int code = open_archive(r, archive);
	if (code == 0)
		code = read_entries(r, archive);
	return code < 0 ? code : merge_finish(&r->merge, r->err);
}

/* Takes what follows the tar's end, which a feed is to see too. */
static int finish_feed(struct reader *r)
{
	const uint8_t *bytes;
	size_t len = 1;
	while (r->result == 0 && len != 0)
		r->result = r->feed->next(r->feed, &bytes, &len, r->err);
	return r->result;
}

static int apply_reader(struct reader *r, const char *name)
{
	/* In another locale libarchive does not give names of pax headers as they are. */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t saved = uselocale(utf8);
	r->check = tar_check_new();
	merge_begin(&r->merge, r->tree);
	int code = apply(r);
	merge_free(&r->merge);
	tar_check_free(r->check);
	uselocale(saved);
	if (utf8 != (locale_t)0)
		freelocale(utf8);
	if (code == 0 && r->feed != NULL)
		code = finish_feed(r);
	return code < 0 ? error_wrap(r->err, code, "%s", name) : 0;
}

int layer_apply(
	struct tree *tree, struct source *tar, uint64_t size, const char *name, struct error *err)
{
	cleanup_free uint8_t *chunk = xmalloc(READ_CHUNK);
	struct reader r = {.tree = tree,
		.tar = tree_own_source(tree, tar),
		.size = size,
		.chunk = chunk,
		.err = err};
	return apply_reader(&r, name);
}

int layer_apply_feed(struct tree *tree, struct feed *feed, struct source *tar, const char *name,
	struct error *err)
{
	struct reader r = {.tree = tree,
		.tar = tree_own_source(tree, tar),
		.feed = feed,
		.size = UINT64_MAX,
		.err = err};
	return apply_reader(&r, name);
}
