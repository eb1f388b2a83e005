/*
 * Values of extended attributes that have an inode of their own (ea_inode: kernel
 * Documentation/filesystems/ext4/attributes.rst). No name leads to such an inode, and many
 * attributes may share it: it is read once, so that its blocks are claimed once.
 */
#include <endian.h>
#include <errno.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/stat.h>

#include "disk/reread.h"

static int broken(uint32_t ino, const char *words, struct error *err)
{
	return error_set(err, ERROR_GUEST, EUCLEAN,
		"an extended attribute has its value in inode %u, which %s", ino, words);
}

/* Whether the inode is what the kernel makes for a value of len bytes. */
static int check_inode(uint32_t ino, const union raw_inode *raw, size_t len, struct error *err)
{
	const struct ext2_inode_large *f = &raw->fields;
	uint64_t size = (uint64_t)le32toh(f->i_size_high) << 32 | le32toh(f->i_size);
	if (f->i_links_count == 0)
		return broken(ino, "is free", err);
	if (!S_ISREG(le16toh(f->i_mode)) || !(le32toh(f->i_flags) & EXT4_EA_INODE_FL) ||
		(le32toh(f->i_flags) & (EXT4_INLINE_DATA_FL | EXT4_ENCRYPT_FL)))
		return broken(ino, "is not there for that", err);
	if (size != len)
		return broken(ino, "has another size", err);
	return 0;
}

static int read_bytes(struct reread *r, uint32_t ino, const union raw_inode *raw,
	struct reread_value *value, struct error *err)
{
	cleanup_extents struct extents extents = {0};
	size_t done = 0;
	int code = reread_extents(r, raw, &extents, err);
	for (size_t i = 0; code == 0 && i < extents.count && done < value->len; i++) {
		const struct segment *s = &extents.items[i];
		size_t left = value->len - done;
		size_t n = s->length < left ? (size_t)s->length : left;
		if (s->logical != done)
			break;
		code = disk_view_read(r->view, value->bytes + done, n, s->offset, err);
		done += n;
	}
	if (code == 0 && done < value->len)
		return broken(ino, "has a hole", err);
	return code;
}

static int read_value(
	struct reread *r, uint32_t ino, size_t len, struct reread_value **out, struct error *err)
{
	union raw_inode raw;
	int code = reread_raw_inode(r, ino, &raw, err);
	if (code == 0)
		code = check_inode(ino, &raw, len, err);
	if (code < 0)
		return code;
	struct reread_value *value = tree_alloc(r->tree, sizeof(*value) + len);
	value->len = len;
	code = read_bytes(r, ino, &raw, value, err);
	if (code < 0)
		return error_wrap(err, code, "value inode %u", ino);
	*out = value;
	return 0;
}

int reread_value(struct reread *r, uint32_t ino, size_t len, const struct reread_value **out,
	struct error *err)
{
	if (ino < r->first_inode || ino > r->inode_count)
		return broken(ino, "cannot be", err);
	if (len > XATTR_SIZE_MAX)
		return broken(ino, "is too large", err);
	r->value_bytes += len;
	if (r->value_bytes > REREAD_VALUES_MAX)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"the extended attributes of changed files have values of more than %u "
			"bytes together",
			REREAD_VALUES_MAX);
	if (r->values[ino] == NULL) {
		int code = read_value(r, ino, len, &r->values[ino], err);
		if (code < 0)
			return code;
	}
	if (r->values[ino]->len != len)
		return broken(ino, "has another size", err);
	*out = r->values[ino];
	return 0;
}
