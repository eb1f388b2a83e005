#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/types.h>
#include <string.h>

#include <ext2fs/ext2_ext_attr.h>

#include "disk/reread.h"
#include "support/memory.h"

/* On-disk and in-kernel forms of POSIX ACLs: fs/ext4/acl.h, linux/posix_acl_xattr.h. */
#define DISK_ACL_VERSION 1u
#define ACL_SHORT_ENTRY 4 /* tag, permissions */
#define ACL_LONG_ENTRY 8  /* tag, permissions, id */

/* The prefix that e_name_index stands for; NULL: none that the kernel would list. */
static const char *const prefixes[] = {
	[1] = "user.",
	[2] = "system.posix_acl_access",
	[3] = "system.posix_acl_default",
	[4] = "trusted.",
	[6] = "security.",
};
#define INDEX_ACL_ACCESS 2
#define INDEX_ACL_DEFAULT 3

/* The attributes of one inode, with names and values of their own. */
struct list {
	struct xattr *items;
	size_t count;
	size_t capacity;
};

static void cleanup_list_fn(struct list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free((void *)(uintptr_t)list->items[i].name);
		free((void *)(uintptr_t)list->items[i].value);
	}
	free(list->items);
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) | (uint32_t)get16(at + 2) << 16;
}

static void add16(struct buffer *out, unsigned value)
{
	uint16_t le = htole16((uint16_t)value);
	buffer_add(out, &le, sizeof(le));
}

static void add32(struct buffer *out, uint32_t value)
{
	uint32_t le = htole32(value);
	buffer_add(out, &le, sizeof(le));
}

static bool acl_has_id(unsigned tag)
{
	return tag == ACL_USER || tag == ACL_GROUP;
}

static bool acl_tag_known(unsigned tag)
{
	return acl_has_id(tag) || tag == ACL_USER_OBJ || tag == ACL_GROUP_OBJ || tag == ACL_MASK ||
	       tag == ACL_OTHER;
}

/* ext4 leaves the id out where the tag has none; the kernel's own form never does. */
static int convert_acl(const uint8_t *value, size_t len, struct buffer *out, struct error *err)
{
	if (len < 4 || get32(value) != DISK_ACL_VERSION)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"a POSIX ACL of %zu bytes has not the header of version %u", len,
			DISK_ACL_VERSION);
	add32(out, POSIX_ACL_XATTR_VERSION);
	for (size_t at = 4; at < len;) {
		size_t left = len - at;
		unsigned tag = left >= ACL_SHORT_ENTRY ? get16(value + at) : 0;
		size_t size = acl_has_id(tag) ? ACL_LONG_ENTRY : ACL_SHORT_ENTRY;
		if (!acl_tag_known(tag) || left < size || get16(value + at + 2) > 7)
			return error_set(err, ERROR_GUEST, EUCLEAN,
				"a POSIX ACL of %zu bytes has a broken entry at byte %zu", len, at);
		add16(out, tag);
		add16(out, get16(value + at + 2));
		add32(out, size == ACL_LONG_ENTRY ? get32(value + at + 4)
						  : (uint32_t)ACL_UNDEFINED_ID);
		at += size;
	}
	return 0;
}

static int add_attribute(struct list *list, unsigned index, const char *suffix, size_t suffix_len,
	const uint8_t *value, size_t value_len, struct error *err)
{
	const char *prefix = index < sizeof(prefixes) / sizeof(*prefixes) ? prefixes[index] : NULL;
	if (prefix == NULL)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"an extended attribute has the unknown name index %u", index);
	bool whole = prefix[strlen(prefix) - 1] != '.';
	if (whole != (suffix_len == 0) || memchr(suffix, '\0', suffix_len) != NULL)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"an extended attribute %s... has a broken name of %zu bytes", prefix,
			suffix_len);

	cleanup_free char *name = xasprintf("%s%.*s", prefix, (int)suffix_len, suffix);
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].name, name) == 0)
			return error_set(err, ERROR_GUEST, EUCLEAN,
				"the extended attribute %s is there twice", name);
	}
	cleanup_buffer struct buffer out = {0};
	if (index == INDEX_ACL_ACCESS || index == INDEX_ACL_DEFAULT) {
		int r = convert_acl(value, value_len, &out, err);
		if (r < 0)
			return r;
	} else {
		buffer_add(&out, value, value_len);
	}
	list->items = array_grow(list->items, list->count, &list->capacity, sizeof(*list->items));
	struct xattr *x = &list->items[list->count++];
	*x = (struct xattr){.name = steal_ptr(&name), .len = (uint32_t)out.len};
	x->value = steal_ptr(&out.data);
	return 0;
}

/* Bytes that hold attributes: entries from `first` on, to which the values follow. */
struct area {
	const uint8_t *data;
	size_t len;
	size_t first;
	size_t values; /* what the offsets of values are counted from */
};

/* *end: behind the word of zeros that ends the entries. */
static int find_end(const struct area *area, size_t *end, struct error *err)
{
	size_t at = area->first;
	while (area->len - at >= 4 && get32(area->data + at) != 0) {
		const uint8_t *e = area->data + at;
		if (area->len - at < sizeof(struct ext2_ext_attr_entry) ||
			area->len - at < EXT2_EXT_ATTR_LEN((size_t)e[0]))
			return error_set(err, ERROR_GUEST, EUCLEAN,
				"extended attributes: the entry at byte %zu of %zu is cut off", at,
				area->len);
		at += EXT2_EXT_ATTR_LEN((size_t)e[0]);
	}
	if (area->len - at < 4)
		return error_set(
			err, ERROR_GUEST, EUCLEAN, "extended attributes: the entries have no end");
	*end = at + 4;
	return 0;
}

/*
 * A value that lies behind the entries. room: what other values leave there. Values that share
 * bytes could make of one block a hundred times its size: together they must fit.
 */
static int find_value(const struct area *area, const struct ext2_ext_attr_entry *e, size_t end,
	size_t *room, struct error *err)
{
	size_t size = le32toh(e->e_value_size);
	size_t offset = area->values + le16toh(e->e_value_offs);
	if (size != 0 && (offset < end || offset > area->len || size > area->len - offset))
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"extended attributes: a value of %zu bytes at byte %zu, expected one in "
			"%zu to %zu",
			size, offset, end, area->len);
	if (size > *room)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"extended attributes: the values overlap, as %zu bytes are more than the "
			"others leave of %zu",
			size, area->len - end);
	*room -= size;
	return 0;
}

static int read_entries(
	struct reread *r, struct list *list, const struct area *area, struct error *err)
{
	size_t end = 0;
	int code = find_end(area, &end, err);
	size_t room = area->len - end;
	for (size_t at = area->first; code == 0 && get32(area->data + at) != 0;
		at += EXT2_EXT_ATTR_LEN((size_t)area->data[at])) {
		struct ext2_ext_attr_entry e;
		memcpy(&e, area->data + at, sizeof(e));
		size_t size = le32toh(e.e_value_size);
		const uint8_t *value = area->data;
		const struct reread_value *own;
		if (e.e_value_inum != 0) {
			code = reread_value(r, le32toh(e.e_value_inum), size, &own, err);
			if (code == 0)
				value = own->bytes;
		} else {
			code = find_value(area, &e, end, &room, err);
			if (code == 0 && size != 0)
				value += area->values + le16toh(e.e_value_offs);
		}
		if (code == 0)
			code = add_attribute(list, e.e_name_index,
				(const char *)area->data + at + sizeof(e), e.e_name_len, value,
				size, err);
	}
	return code;
}

static int read_in_inode(
	struct reread *r, struct list *list, const union raw_inode *raw, struct error *err)
{
	size_t extra = le16toh(raw->fields.i_extra_isize);
	size_t start = EXT2_GOOD_OLD_INODE_SIZE + extra;
	if (extra == 0 || start + 4 > sizeof(raw->bytes))
		return 0;
	if (get32(raw->bytes + start) != EXT2_EXT_ATTR_MAGIC)
		return 0;
	const struct area area = {.data = raw->bytes,
		.len = sizeof(raw->bytes),
		.first = start + 4,
		.values = start + 4};
	return read_entries(r, list, &area, err);
}

static int read_block(struct reread *r, struct list *list, uint64_t block, struct error *err)
{
	if (block >= r->block_count)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"its extended attributes are at block %llu of %llu",
			(unsigned long long)block, (unsigned long long)r->block_count);
	uint8_t data[DISK_BLOCK_SIZE];
	int code = disk_view_read(r->view, data, sizeof(data), block * DISK_BLOCK_SIZE, err);
	if (code < 0)
		return code;
	struct ext2_ext_attr_header h;
	memcpy(&h, data, sizeof(h));
	uint32_t refcount = le32toh(h.h_refcount);
	if (le32toh(h.h_magic) != EXT2_EXT_ATTR_MAGIC || le32toh(h.h_blocks) != 1 ||
		refcount == 0 || refcount > EXT2_EXT_ATTR_REFCOUNT_MAX)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"block %llu, for its extended attributes, has magic 0x%x, %u blocks and "
			"%u references, expected 0x%x, 1, and 1 to %d",
			(unsigned long long)block, le32toh(h.h_magic), le32toh(h.h_blocks),
			refcount, EXT2_EXT_ATTR_MAGIC, EXT2_EXT_ATTR_REFCOUNT_MAX);
	const struct area area = {.data = data, .len = sizeof(data), .first = sizeof(h)};
	return read_entries(r, list, &area, err);
}

int reread_xattrs(
	struct reread *r, const union raw_inode *raw, const struct xattrs **out, struct error *err)
{
	__attribute__((cleanup(cleanup_list_fn))) struct list list = {0};
	int code = read_in_inode(r, &list, raw, err);
	if (code < 0)
		return code;
	uint64_t block = (uint64_t)le16toh(raw->fields.osd2.linux2.l_i_file_acl_high) << 32 |
			 le32toh(raw->fields.i_file_acl);
	if (block != 0)
		code = read_block(r, &list, block, err);
	if (code < 0)
		return code;
	*out = tree_xattrs(r->tree, list.items, list.count);
	return 0;
}
