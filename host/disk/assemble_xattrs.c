#include "disk/assemble_xattrs.h"

#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>
#include <string.h>

#include <ext2fs/ext2_ext_attr.h>

/* EXT4_XATTR_INDEX_*: what stands for a prefix of a name, or for a whole name. */
enum { INDEX_USER = 1, INDEX_ACL_ACCESS, INDEX_ACL_DEFAULT, INDEX_TRUSTED, INDEX_SECURITY = 6 };

static const struct prefix {
	const char *text;
	uint8_t index;
	bool whole;
} prefixes[] = {
	{"user.", INDEX_USER, false},
	{"trusted.", INDEX_TRUSTED, false},
	{"security.", INDEX_SECURITY, false},
	{"system.posix_acl_access", INDEX_ACL_ACCESS, true},
	{"system.posix_acl_default", INDEX_ACL_DEFAULT, true},
};

/* Every attribute takes an entry's head at least, so this many can never fit. */
#define COUNT_MAX                                                                                  \
	((XATTRS_IN_INODE + DISK_BLOCK_SIZE) / (uint32_t)sizeof(struct ext2_ext_attr_entry))

/* The largest room for one attribute: a block without its header and the end mark. */
#define ROOM_MAX (DISK_BLOCK_SIZE - (uint32_t)sizeof(struct ext2_ext_attr_header) - END_MARK)

#define END_MARK 4u /* the list of entries ends with four zero bytes */

struct entry {
	const char *name; /* behind the prefix */
	const struct xattr *xattr;
	uint32_t value_len; /* in ext4's form */
	uint8_t index;
	uint8_t name_len;
};

/* A stretch of bytes: entries grow up from its start, values down from its end. */
struct area {
	uint8_t *base; /* what offsets of values are counted from */
	size_t entries_end;
	size_t values_start;
};

#define ACL_HEAD 4u
#define DISK_ACL_VERSION 1u
#define ACL_DISK_SHORT 4u /* tag and permissions */

static bool is_acl(const struct entry *e)
{
	return e->index == INDEX_ACL_ACCESS || e->index == INDEX_ACL_DEFAULT;
}

/*
 * ext4's form of an ACL (ext4_acl_header) leaves out the ID where it means nothing.
 * out: at least xattr->len bytes, or NULL. Returns the length; 0: this is no ACL.
 */
static uint32_t encode_acl(const struct xattr *xattr, uint8_t *out)
{
	const uint8_t *at = xattr->value;
	uint32_t version, len = ACL_HEAD;
	if (xattr->len < ACL_HEAD ||
		(xattr->len - ACL_HEAD) % sizeof(struct posix_acl_xattr_entry) != 0)
		return 0;
	memcpy(&version, at, sizeof(version));
	if (version != POSIX_ACL_XATTR_VERSION)
		return 0;
	version = DISK_ACL_VERSION;
	if (out != NULL)
		memcpy(out, &version, sizeof(version));
	for (uint32_t i = ACL_HEAD; i < xattr->len;
		i += (uint32_t)sizeof(struct posix_acl_xattr_entry)) {
		struct posix_acl_xattr_entry entry;
		memcpy(&entry, at + i, sizeof(entry));
		uint32_t n = ACL_DISK_SHORT;
		switch (entry.e_tag) {
		case ACL_USER:
		case ACL_GROUP:
			n = sizeof(entry);
			break;
		case ACL_USER_OBJ:
		case ACL_GROUP_OBJ:
		case ACL_MASK:
		case ACL_OTHER:
			break;
		default:
			return 0;
		}
		if (out != NULL)
			memcpy(out + len, &entry, n);
		len += n;
	}
	return len;
}

static int make_entry(const struct xattr *xattr, struct entry *e, struct error *err)
{
	*e = (struct entry){.xattr = xattr, .value_len = xattr->len};
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		const struct prefix *p = &prefixes[i];
		size_t len = strlen(p->text);
		if (strncmp(xattr->name, p->text, len) == 0 &&
			(xattr->name[len] == '\0') == p->whole) {
			e->index = p->index;
			e->name = xattr->name + len;
		}
	}
	size_t name_len = e->index != 0 ? strlen(e->name) : SIZE_MAX;
	if (name_len > UINT8_MAX)
		return error_set(err, ERROR_LIMIT, EOPNOTSUPP,
			"attribute %s: ext4 has no place for this name; it takes user.*, "
			"trusted.*, security.* (up to 255 bytes after the dot) and POSIX ACLs",
			xattr->name);
	e->name_len = (uint8_t)name_len;
	if (is_acl(e)) {
		e->value_len = encode_acl(xattr, NULL);
		if (e->value_len == 0)
			return error_set(err, ERROR_LIMIT, EINVAL,
				"attribute %s: its %u bytes are no POSIX ACL", xattr->name,
				xattr->len);
	}
	return 0;
}

/* The order that the kernel looks for in a block (ext4_xattr_find_entry). */
static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	if (x->index != y->index)
		return x->index - y->index;
	if (x->name_len != y->name_len)
		return x->name_len - y->name_len;
	return memcmp(x->name, y->name, x->name_len);
}

/*
 * e_hash, which the kernel keeps for attributes in a block (ext4_xattr_hash_entry), with the
 * bytes of the name unsigned, as it does on all machines since version 6.2.
 */
static uint32_t hash_entry(const struct entry *e, const uint8_t *value, size_t padded_len)
{
	uint32_t hash = 0;
	for (size_t i = 0; i < e->name_len; i++)
		hash = hash << 5 ^ hash >> 27 ^ (uint8_t)e->name[i];
	for (size_t i = 0; i < padded_len; i += 4) {
		uint32_t word;
		memcpy(&word, value + i, sizeof(word));
		hash = hash << 16 ^ hash >> 16 ^ word;
	}
	return hash;
}

/* Puts an attribute into an area of zeros. Returns whether there was room. */
static bool put_entry(struct area *area, const struct entry *e, bool hashed)
{
	size_t entry_len = EXT2_EXT_ATTR_LEN(e->name_len);
	size_t padded_len = EXT2_EXT_ATTR_SIZE((size_t)e->value_len);
	size_t room = area->values_start - area->entries_end - END_MARK;
	if (padded_len > room || entry_len > room - padded_len)
		return false;
	area->values_start -= padded_len;
	uint8_t *value = area->base + area->values_start;
	if (is_acl(e))
		encode_acl(e->xattr, value);
	else if (e->value_len != 0)
		memcpy(value, e->xattr->value, e->value_len);
	struct ext2_ext_attr_entry head = {.e_name_len = e->name_len,
		.e_name_index = e->index,
		.e_value_offs = e->value_len != 0 ? (uint16_t)area->values_start : 0,
		.e_value_size = e->value_len,
		.e_hash = hashed ? hash_entry(e, value, padded_len) : 0};
	memcpy(area->base + area->entries_end, &head, sizeof(head));
	memcpy(area->base + area->entries_end + sizeof(head), e->name, e->name_len);
	area->entries_end += entry_len;
	return true;
}

/* h_hash (ext4_xattr_rehash): of all entries' hashes, 0 where one of them is 0. */
static uint32_t hash_block(const uint8_t *block, size_t entries_end)
{
	uint32_t hash = 0;
	struct ext2_ext_attr_entry head;
	for (size_t at = sizeof(struct ext2_ext_attr_header); at < entries_end;
		at += EXT2_EXT_ATTR_LEN(head.e_name_len)) {
		memcpy(&head, block + at, sizeof(head));
		if (head.e_hash == 0)
			return 0;
		hash = hash << 16 ^ hash >> 16 ^ head.e_hash;
	}
	return hash;
}

int xattrs_encode(const struct xattrs *xattrs, struct encoded_xattrs *out, struct error *err)
{
	out->has_block = false;
	memset(out->in_inode, 0, sizeof(out->in_inode));
	if (xattrs == NULL || xattrs->count == 0)
		return 0;
	memset(out->block, 0, sizeof(out->block));
	if (xattrs->count > COUNT_MAX)
		return error_set(err, ERROR_LIMIT, ENOSPC,
			"has %u attributes; the %u bytes that ext4 has for them cannot hold more "
			"than %u",
			xattrs->count, XATTRS_IN_INODE + DISK_BLOCK_SIZE, COUNT_MAX);
	struct entry entries[COUNT_MAX] = {{.name = NULL}};
	for (uint32_t i = 0; i < xattrs->count; i++) {
		int r = make_entry(&xattrs->items[i], &entries[i], err);
		if (r < 0)
			return r;
	}
	qsort(entries, xattrs->count, sizeof(entries[0]), compare_entries);

	const uint32_t magic = EXT2_EXT_ATTR_MAGIC;
	/* In the inode, offsets are counted from behind the magic number. */
	struct area inode = {.base = out->in_inode + sizeof(magic),
		.values_start = sizeof(out->in_inode) - sizeof(magic)};
	struct area block = {.base = out->block,
		.entries_end = sizeof(struct ext2_ext_attr_header),
		.values_start = sizeof(out->block)};
	for (uint32_t i = 0; i < xattrs->count; i++) {
		const struct entry *e = &entries[i];
		if (put_entry(&inode, e, false))
			continue;
		if (!put_entry(&block, e, true))
			return error_set(err, ERROR_LIMIT, ENOSPC,
				"attribute %s: its value of %u bytes does not fit; an inode has "
				"%u bytes for attributes on an ext4 disk, and %u more",
				e->xattr->name, e->value_len, ROOM_MAX,
				XATTRS_IN_INODE - (uint32_t)sizeof(magic) - END_MARK);
		out->has_block = true;
	}
	if (inode.entries_end != 0)
		memcpy(out->in_inode, &magic, sizeof(magic));
	if (out->has_block) {
		struct ext2_ext_attr_header header = {.h_magic = magic,
			.h_refcount = 1,
			.h_blocks = 1,
			.h_hash = hash_block(out->block, block.entries_end)};
		memcpy(out->block, &header, sizeof(header));
	}
	return 0;
}
