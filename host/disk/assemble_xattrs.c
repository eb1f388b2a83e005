#include "disk/assemble_xattrs.h"

#include <errno.h>
#include <linux/limits.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

#include "disk/disk.h"

/*
 * What ext4 keeps of a name: what is behind one of these. libext2fs takes every name that begins
 * with one of the last two as that ACL, and knows prefixes that the kernel does not.
 */
static const struct prefix {
	const char *text;
	bool is_acl; /* the whole of the name */
} prefixes[] = {
	{"user.", false},
	{"trusted.", false},
	{"security.", false},
	{"system.posix_acl_access", true},
	{"system.posix_acl_default", true},
};

#define END_MARK 4u /* the list of entries ends with four zero bytes */
#define ROOM_IN_INODE (ASSEMBLE_INODE_REST - (uint32_t)sizeof(uint32_t) - END_MARK)
#define ROOM_IN_BLOCK (DISK_BLOCK_SIZE - (uint32_t)sizeof(struct ext2_ext_attr_header) - END_MARK)
/* A longer value gets an inode although it would fit into an empty block (EXT4_XATTR_MIN_LARGE). */
#define VALUE_IN_BLOCK_MAX (ROOM_IN_BLOCK - EXT2_EXT_ATTR_LEN(3u))

#define ACL_HEAD 4u
#define ACL_DISK_SHORT 4u /* tag and permissions */
#define PERM_MAX 7u       /* reread_xattrs and the kernel take no other bits */

/*
 * The length of an ACL in ext4's form (ext4_acl_header), which leaves out the ID where it means
 * nothing. 0: this is no ACL.
 */
static uint32_t acl_length(const struct xattr *xattr)
{
	const uint8_t *at = xattr->value;
	uint32_t version, len = ACL_HEAD;
	if (xattr->len <= ACL_HEAD ||
		(xattr->len - ACL_HEAD) % sizeof(struct posix_acl_xattr_entry) != 0)
		return 0;
	memcpy(&version, at, sizeof(version));
	if (version != POSIX_ACL_XATTR_VERSION)
		return 0;
	for (uint32_t i = ACL_HEAD; i < xattr->len;
		i += (uint32_t)sizeof(struct posix_acl_xattr_entry)) {
		struct posix_acl_xattr_entry entry;
		memcpy(&entry, at + i, sizeof(entry));
		if (entry.e_perm > PERM_MAX)
			return 0;
		switch (entry.e_tag) {
		case ACL_USER:
		case ACL_GROUP:
			len += (uint32_t)sizeof(entry);
			break;
		case ACL_USER_OBJ:
		case ACL_GROUP_OBJ:
		case ACL_MASK:
		case ACL_OTHER:
			len += ACL_DISK_SHORT;
			break;
		default:
			return 0;
		}
	}
	return len;
}

/* The part of the name that ext4 keeps, and the length of the value in ext4's form. */
static int check(
	const struct xattr *xattr, uint32_t *name_len, uint32_t *value_len, struct error *err)
{
	const struct prefix *prefix = NULL;
	const char *rest = "";
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		const struct prefix *p = &prefixes[i];
		size_t len = strlen(p->text);
		if (strncmp(xattr->name, p->text, len) == 0 &&
			(xattr->name[len] == '\0') == p->is_acl) {
			prefix = p;
			rest = xattr->name + len;
		}
	}
	if (prefix == NULL || strlen(rest) > UINT8_MAX)
		return error_set(err, ERROR_LIMIT, EOPNOTSUPP,
			"attribute %s: ext4 has no place for this name; it takes user.*, "
			"trusted.*, security.* (up to 255 bytes after the dot) and POSIX ACLs",
			xattr->name);
	if (xattr->len > XATTR_SIZE_MAX)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"attribute %s: its value has %u bytes; Linux takes at most %d", xattr->name,
			xattr->len, XATTR_SIZE_MAX);
	*name_len = (uint32_t)strlen(rest);
	*value_len = prefix->is_acl ? acl_length(xattr) : xattr->len;
	if (prefix->is_acl && *value_len == 0)
		return error_set(err, ERROR_LIMIT, EINVAL,
			"attribute %s: its %u bytes are no POSIX ACL", xattr->name, xattr->len);
	return 0;
}

/* What is still free behind the inode's fields and in the block. */
struct room {
	uint32_t inode;
	uint32_t block;
};

/* Takes len bytes where libext2fs would: in the inode if they fit. Returns whether they do. */
static bool take(struct room *room, uint32_t len, struct xattrs_plan *plan)
{
	if (len <= room->inode) {
		room->inode -= len;
		return true;
	}
	if (len > room->block)
		return false;
	room->block -= len;
	plan->blocks = 1;
	return true;
}

static int plan_one(
	const struct xattr *xattr, struct room *room, struct xattrs_plan *plan, struct error *err)
{
	uint32_t name_len = 0, value_len = 0;
	int r = check(xattr, &name_len, &value_len, err);
	if (r < 0)
		return r;
	uint32_t entry = EXT2_EXT_ATTR_LEN(name_len);
	if (value_len <= VALUE_IN_BLOCK_MAX &&
		take(room, entry + EXT2_EXT_ATTR_SIZE(value_len), plan))
		return 0;
	if (!take(room, entry, plan))
		return error_set(err, ERROR_LIMIT, ENOSPC,
			"attribute %s: there is no room for one more attribute of this file; ext4 "
			"has %u bytes for their names and short values",
			xattr->name, ROOM_IN_INODE + ROOM_IN_BLOCK);
	plan->inodes++;
	plan->value_blocks += (value_len + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE;
	return 0;
}

int xattrs_plan(const struct xattrs *xattrs, struct xattrs_plan *plan, struct error *err)
{
	struct room room = {.inode = ROOM_IN_INODE, .block = ROOM_IN_BLOCK};
	int r = 0;
	*plan = (struct xattrs_plan){0};
	for (uint32_t i = 0; r == 0 && xattrs != NULL && i < xattrs->count; i++)
		r = plan_one(&xattrs->items[i], &room, plan, err);
	return r;
}

static errcode_t set_all(struct ext2_xattr_handle *handle, const struct xattrs *xattrs)
{
	errcode_t code = 0;
	for (uint32_t i = 0; code == 0 && i < xattrs->count; i++) {
		const struct xattr *x = &xattrs->items[i];
		code = ext2fs_xattr_set(handle, x->name, x->value, x->len);
	}
	return code;
}

/* The kernel shares a block by the hash of all of it, which libext2fs leaves out. */
static errcode_t hash_block(ext2_filsys fs, uint32_t ino, blk64_t block)
{
	uint32_t data[DISK_BLOCK_SIZE / sizeof(uint32_t)];
	struct ext2_ext_attr_header *header = (struct ext2_ext_attr_header *)data;
	errcode_t code = ext2fs_read_ext_attr3(fs, block, data, ino);
	if (code != 0)
		return code;
	ext2fs_ext_attr_block_rehash(
		header, (struct ext2_ext_attr_entry *)((uint8_t *)data + DISK_BLOCK_SIZE));
	return ext2fs_write_ext_attr3(fs, block, data, ino);
}

/* What libext2fs leaves out beside the attributes: a hash, and the values' blocks in the count. */
static errcode_t complete(ext2_filsys fs, uint32_t ino, const struct xattrs_plan *plan)
{
	struct assemble_inode raw;
	struct ext2_inode *inode = (struct ext2_inode *)&raw.fields;
	errcode_t code = ext2fs_read_inode_full(fs, ino, inode, sizeof(raw));
	if (code == 0 && plan->blocks != 0)
		code = hash_block(fs, ino, ext2fs_file_acl_block(fs, inode));
	if (code == 0 && plan->value_blocks != 0)
		code = ext2fs_iblk_add_blocks(fs, inode, plan->value_blocks);
	if (code == 0 && plan->value_blocks != 0)
		code = ext2fs_write_inode_full(fs, ino, inode, sizeof(raw));
	return code;
}

int xattrs_write(struct assemble_fs *f, uint32_t ino, const struct xattrs *xattrs,
	const struct xattrs_plan *plan, struct error *err)
{
	struct ext2_xattr_handle *handle;
	if (xattrs == NULL || xattrs->count == 0)
		return 0;
	errcode_t code = ext2fs_xattrs_open(f->fs, ino, &handle);
	if (code == 0) {
		code = set_all(handle, xattrs);
		ext2fs_xattrs_close(&handle);
	}
	if (code == 0 && (plan->blocks != 0 || plan->inodes != 0))
		code = complete(f->fs, ino, plan);
	return code == 0 ? 0 : assemble_io_error(&f->io, code, "write attributes", err);
}
