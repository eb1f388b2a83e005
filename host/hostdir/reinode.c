#include "hostdir/reinode.h"

#include <endian.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

#include "hostdir/hostinode.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define COMPARE_CHUNK (256u * 1024)

static bool same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_type(uint32_t a, uint32_t b)
{
	return ((a ^ b) & S_IFMT) == 0;
}

/*
 * Whether a file with the number of one that was laid out is that one: numbers are used again
 * once a file is gone. Its time of birth tells; where the file system has none, its place or its
 * time of change must be the same.
 */
static bool is_laid_out(
	const struct laid_out *file, const struct statx *st, const struct dentry *laid_out)
{
	if (!same_type(file->st.stx_mode, st->stx_mode))
		return false;
	if (file->st.stx_mask & st->stx_mask & STATX_BTIME)
		return same_time(&file->st.stx_btime, &st->stx_btime);
	return (laid_out != NULL && laid_out->inode == file->inode) ||
	       same_time(&file->st.stx_mtime, &st->stx_mtime);
}

static bool is_untouched(const struct laid_out *file, const struct statx *st)
{
	return same_time(&file->st.stx_ctime, &st->stx_ctime) &&
	       same_time(&file->st.stx_mtime, &st->stx_mtime) &&
	       file->st.stx_mode == st->stx_mode && file->st.stx_size == st->stx_size;
}

static int same_content(
	const struct scan_entry *entry, const struct inode *inode, bool *same, struct error *err)
{
	*same = inode->size == entry->st.stx_size;
	cleanup_close int fd = *same ? scan_open_file(entry, err) : -1;
	if (!*same || fd < 0)
		return *same ? fd : 0;
	size_t size = inode->size < COMPARE_CHUNK ? (size_t)inode->size : COMPARE_CHUNK;
	cleanup_free uint8_t *chunk = xmalloc(2 * size);
	for (uint64_t at = 0; at < inode->size && *same; at += size) {
		uint64_t rest = inode->size - at;
		size_t n = rest < size ? (size_t)rest : size;
		int r = interrupt_check(err);
		if (r == 0)
			r = file_read_at(fd, chunk, n, at, entry->path, err);
		if (r == 0)
			r = inode_read(inode, chunk + size, n, at, err);
		if (r < 0)
			return r;
		*same = memcmp(chunk, chunk + size, n) == 0;
	}
	return 0;
}

/*
 * An access ACL for a new mode, as chmod(2) changes one: the owner's and the others' entries
 * follow the mode, and of the group bits the mask, where there is one (acl(5)).
 */
static void acl_follow_mode(uint8_t *value, size_t len, uint32_t mode)
{
	struct posix_acl_xattr_entry entry;
	size_t start = sizeof(struct posix_acl_xattr_header);
	bool has_mask = false;
	for (size_t at = start; at + sizeof(entry) <= len; at += sizeof(entry)) {
		memcpy(&entry, value + at, sizeof(entry));
		has_mask |= le16toh(entry.e_tag) == ACL_MASK;
	}
	for (size_t at = start; at + sizeof(entry) <= len; at += sizeof(entry)) {
		memcpy(&entry, value + at, sizeof(entry));
		uint16_t tag = le16toh(entry.e_tag);
		if (tag == ACL_USER_OBJ)
			entry.e_perm = htole16(mode >> 6 & 7);
		else if (tag == (has_mask ? ACL_MASK : ACL_GROUP_OBJ))
			entry.e_perm = htole16(mode >> 3 & 7);
		else if (tag == ACL_OTHER)
			entry.e_perm = htole16(mode & 7);
		memcpy(value + at, &entry, sizeof(entry));
	}
}

/* The attributes of `like` that a changed file still has though the folder does not show them. */
static const struct xattrs *kept_xattrs(const struct reinode *re, const struct inode *like,
	const struct inode *inode, bool content_kept)
{
	if (like->xattrs == NULL)
		return NULL;
	struct tree *tree = re->spool.tree;
	cleanup_free struct xattr *items = xcalloc(like->xattrs->count, sizeof(*items));
	size_t count = 0;
	for (uint32_t i = 0; i < like->xattrs->count; i++) {
		struct xattr x = like->xattrs->items[i];
		if (re->layout->user_xattrs && strncmp(x.name, "user.", 5) == 0)
			continue;
		if (!content_kept && strcmp(x.name, "security.capability") == 0)
			continue;
		if (inode->mode != like->mode && strcmp(x.name, "system.posix_acl_access") == 0) {
			uint8_t *value = tree_alloc(tree, x.len);
			memcpy(value, x.value, x.len);
			acl_follow_mode(value, x.len, inode->mode);
			x.value = value;
		}
		items[count++] = x;
	}
	return tree_xattrs(tree, items, count);
}

/* Gives a changed file what it keeps of `like`. file: NULL where it is another file in its place.
 */
static int keep_from(struct reinode *re, const struct scan_entry *entry, const struct inode *like,
	const struct laid_out *file, struct inode *inode, struct error *err)
{
	const struct statx *st = &entry->st;
	uint32_t laid_mode = file != NULL ? file->st.stx_mode : layout_mode(like->mode);
	bool content_kept = true;
	int r = 0;
	inode->uid = like->uid;
	inode->gid = like->gid;
	if (st->stx_mode == laid_mode)
		inode->mode = like->mode;
	if (file != NULL && same_time(&file->st.stx_mtime, &st->stx_mtime)) {
		inode->mtime_sec = like->mtime_sec;
		inode->mtime_nsec = like->mtime_nsec;
	}
	if (S_ISREG(inode->mode)) {
		r = same_content(entry, like, &content_kept, err);
		if (r == 0 && content_kept) {
			inode->size = like->size;
			inode->segments = like->segments;
			inode->segment_count = like->segment_count;
			inode->source = like->source;
		} else if (r == 0) {
			r = hostinode_read_data(&re->spool, entry, inode, err);
		}
	}
	if (r < 0)
		return r;
	return hostinode_read_xattrs(
		re->spool.tree, entry, kept_xattrs(re, like, inode, content_kept), inode, err);
}

static int make_inode(struct reinode *re, const struct scan_entry *entry,
	const struct dentry *laid_out, const struct laid_out *file, struct inode **out,
	struct error *err)
{
	const struct inode *like = NULL;
	int r = hostinode_new(re->spool.tree, entry, out, err);
	if (r < 0)
		return r;
	if (file != NULL)
		like = file->inode;
	else if (laid_out != NULL && same_type(laid_out->inode->mode, entry->st.stx_mode))
		like = laid_out->inode;
	if (like != NULL)
		return keep_from(re, entry, like, file, *out, err);
	(*out)->uid = re->uid;
	(*out)->gid = re->gid;
	if (S_ISREG((*out)->mode))
		r = hostinode_read_data(&re->spool, entry, *out, err);
	return r < 0 ? r : hostinode_read_xattrs(re->spool.tree, entry, NULL, *out, err);
}

/*
 * The inode of an untouched file. A directory's may have one name, in the base state too: where
 * it might have another one there, it is copied.
 */
static struct inode *keep_inode(
	const struct reinode *re, struct inode *inode, const struct dentry *laid_out)
{
	if (!inode_is_dir(inode) || (laid_out != NULL && laid_out->base == inode))
		return inode;
	struct inode *copy = tree_inode_new(re->spool.tree, inode->mode);
	copy->uid = inode->uid;
	copy->gid = inode->gid;
	copy->mtime_sec = inode->mtime_sec;
	copy->mtime_nsec = inode->mtime_nsec;
	copy->xattrs = inode->xattrs;
	return copy;
}

int reinode_get(struct reinode *re, const struct scan_entry *entry, const struct dentry *laid_out,
	struct inode **out, struct error *err)
{
	const struct statx *st = &entry->st;
	struct laid_out *file = idmap_get(&re->layout->files, st);
	bool may_have_names = !S_ISDIR(st->stx_mode) && st->stx_nlink > 1;
	int r = 0;
	if (file != NULL && !is_laid_out(file, st, laid_out))
		file = NULL;
	*out = NULL;
	if (may_have_names)
		*out = file != NULL ? file->result : idmap_get(&re->links, st);
	if (*out != NULL)
		return 0;
	if (file != NULL && is_untouched(file, st))
		*out = keep_inode(re, file->inode, laid_out);
	else
		r = make_inode(re, entry, laid_out, file, out, err);
	if (r < 0)
		return r;
	if (file != NULL)
		file->result = *out;
	else if (may_have_names)
		idmap_put(&re->links, st, *out);
	return 0;
}

void reinode_free(struct reinode *re)
{
	idmap_free(&re->links);
}
