#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <string.h>

#include "layer/acl.h"
#include "layer/layer.h"
#include "layer/merge.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "support/ustar.h"

#define READ_CHUNK (64u * 1024)
#define XATTRS_MAX 256

/* A layer that is being read. */
struct reader {
	struct tree *tree;
	struct source *tar; /* what the files' data is read from afterwards */
	struct feed *feed;  /* what the tar is read from now; NULL: that source */
	uint64_t size;      /* UINT64_MAX: a feed's, nobody knows it before its end */
	uint64_t position;  /* of the next byte for libarchive */
	uint64_t data_end;  /* of the last entry's data where it is a file; 0: it is none */
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
	r->position += n;
	return (la_int64_t)n;
}

/* Whether Linux has such attributes: xattr(7), "Extended attribute namespaces". */
static bool is_linux_xattr(const char *name)
{
	static const char *const prefixes[] = {"user.", "trusted.", "security."};
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

static int read_xattrs(
	struct reader *r, struct archive_entry *entry, struct inode *inode, const char *path)
{
	struct xattr items[XATTRS_MAX + 2];
	size_t count = 0;
	const char *name;
	const void *value;
	size_t len;
	cleanup_buffer struct buffer access_acl = {0};
	cleanup_buffer struct buffer default_acl = {0};

	int code = acl_to_xattr(entry, false, &access_acl, r->err);
	if (code == 0)
		code = acl_to_xattr(entry, true, &default_acl, r->err);
	if (code < 0)
		return error_wrap(r->err, code, "%s", path);
	if (access_acl.len != 0)
		items[count++] = (struct xattr){.name = "system.posix_acl_access",
			.value = access_acl.data,
			.len = (uint32_t)access_acl.len};
	if (default_acl.len != 0)
		items[count++] = (struct xattr){.name = "system.posix_acl_default",
			.value = default_acl.data,
			.len = (uint32_t)default_acl.len};
	archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &len) == ARCHIVE_OK) {
		if (name == NULL || !is_linux_xattr(name))
			continue;
		if (count >= XATTRS_MAX || len > UINT16_MAX)
			return error_set(r->err, ERROR_INPUT, E2BIG,
				"%s: more or larger extended attributes than Linux has", path);
		items[count++] = (struct xattr){.name = name, .value = value, .len = (uint32_t)len};
	}
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

/*
 * Before 1970 libarchive gives the parts of pax's one signed number, "-1.25" as -1 s and
 * 250,000,000 ns; the kernel counts nanoseconds upwards from the second below.
 */
static void read_mtime(struct archive_entry *entry, struct inode *inode)
{
	long nsec = archive_entry_mtime_nsec(entry);
	inode->mtime_sec = archive_entry_mtime(entry);
	/* As text, such as a layer of ours has it, libarchive takes no lower one. */
	if (inode->mtime_sec < -INT64_MAX)
		inode->mtime_sec = -INT64_MAX;
	inode->mtime_nsec = nsec >= 0 && nsec < 1000000000 ? (uint32_t)nsec : 0;
	if (inode->mtime_sec < 0 && inode->mtime_nsec != 0) {
		inode->mtime_sec--;
		inode->mtime_nsec = 1000000000 - inode->mtime_nsec;
	}
}

static int read_inode(struct reader *r, struct archive_entry *entry, uint64_t data_start,
	const char *path, struct inode **out)
{
	uint32_t mode = acl_mode(entry, archive_entry_mode(entry)) & (S_IFMT | 07777);
	struct inode *inode = tree_inode_new(r->tree, mode);
	*out = inode;
	int code = read_owner(r, entry, inode, path);
	if (code < 0)
		return code;
	read_mtime(entry, inode);
	code = read_xattrs(r, entry, inode, path);
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
		target = archive_entry_symlink(entry);
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
		inode->device.major = (uint32_t)archive_entry_rdevmajor(entry);
		inode->device.minor = (uint32_t)archive_entry_rdevminor(entry);
		if (inode->device.major > 0xfff || inode->device.minor > 0xfffff)
			return error_set(r->err, ERROR_INPUT, ERANGE,
				"%s: device number %u:%u is over Linux's 4095:1048575", path,
				inode->device.major, inode->device.minor);
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

static int apply_entry(struct reader *r, struct archive_entry *entry, uint64_t data_start)
{
	const char *name = archive_entry_pathname(entry);
	const char *target = archive_entry_hardlink(entry);
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
	code = read_inode(r, entry, data_start, name, &inode);
	if (code == 0 && kind == MEMBER_ENTRY)
		code = merge_inode(&r->merge, &path, inode, r->err);
	else if (code == 0 && !inode_is_dir(inode))
		merge_linked(&r->merge, &path, inode);
	return code;
}

/*
 * libarchive passes over a pax record of over 1 MB with a warning, and the entry has another
 * name or fewer attributes then.
 */
static int check_records(struct archive *archive, int status, int64_t at, struct error *err)
{
	const char *words = archive_error_string(archive);
	if (status != ARCHIVE_WARN || words == NULL || strstr(words, "> 1MB") == NULL)
		return 0;
	return error_set(err, ERROR_INPUT, E2BIG,
		"at byte %" PRId64 ": a pax record of over 1 MB, which is not read", at);
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
		code = check_records(archive, status, at, r->err);
		if (code == 0)
			code = check_data_end(r, (uint64_t)at);
		if (code < 0 || status == ARCHIVE_EOF)
			return code;
		r->data_end = 0;
		/* All of the header has been taken: what comes next is the data. */
		code = apply_entry(r, entry, (uint64_t)archive_filter_bytes(archive, 0));
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
	merge_begin(&r->merge, r->tree);
	int code = apply(r);
	merge_free(&r->merge);
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
