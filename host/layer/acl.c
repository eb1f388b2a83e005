#include "layer/acl.h"

#include <endian.h>
#include <inttypes.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

const char *acl_keyword(const char *xattr_name)
{
	if (strcmp(xattr_name, "system.posix_acl_access") == 0)
		return "SCHILY.acl.access";
	if (strcmp(xattr_name, "system.posix_acl_default") == 0)
		return "SCHILY.acl.default";
	return NULL;
}

static const char *tag_word(uint16_t tag)
{
	switch (tag) {
	case ACL_USER_OBJ:
	case ACL_USER:
		return "user";
	case ACL_GROUP_OBJ:
	case ACL_GROUP:
		return "group";
	case ACL_MASK:
		return "mask";
	case ACL_OTHER:
		return "other";
	default:
		return NULL;
	}
}

static bool add_entry(struct buffer *out, const struct posix_acl_xattr_entry *entry)
{
	uint16_t tag = le16toh(entry->e_tag);
	uint16_t perm = le16toh(entry->e_perm);
	const char *word = tag_word(tag);
	if (word == NULL || perm > 7)
		return false;
	buffer_printf(out, "%s:", word);
	if (tag == ACL_USER || tag == ACL_GROUP)
		buffer_printf(out, "%" PRIu32, le32toh(entry->e_id));
	buffer_printf(out, ":%c%c%c,", perm & ACL_READ ? 'r' : '-', perm & ACL_WRITE ? 'w' : '-',
		perm & ACL_EXECUTE ? 'x' : '-');
	return true;
}

bool acl_add_text(struct buffer *out, const void *value, size_t len)
{
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry entry;
	const uint8_t *at = value;
	size_t start = out->len;
	if (len < sizeof(header) + sizeof(entry) || (len - sizeof(header)) % sizeof(entry) != 0)
		return false;
	memcpy(&header, at, sizeof(header));
	bool ok = le32toh(header.a_version) == POSIX_ACL_XATTR_VERSION;
	for (size_t i = sizeof(header); ok && i < len; i += sizeof(entry)) {
		memcpy(&entry, at + i, sizeof(entry));
		ok = add_entry(out, &entry);
	}
	/* Without the last comma. */
	out->len = ok ? out->len - 1 : start;
	return ok;
}
