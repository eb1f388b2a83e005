#include "layer/acl.h"

#include <archive.h>
#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdlib.h>

#include "support/memory.h"

struct acl_entry {
	uint16_t tag;
	uint16_t perm;
	uint32_t id;
};

static uint16_t linux_tag(int tag)
{
	switch (tag) {
	case ARCHIVE_ENTRY_ACL_USER_OBJ:
		return ACL_USER_OBJ;
	case ARCHIVE_ENTRY_ACL_USER:
		return ACL_USER;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
		return ACL_GROUP_OBJ;
	case ARCHIVE_ENTRY_ACL_GROUP:
		return ACL_GROUP;
	case ARCHIVE_ENTRY_ACL_MASK:
		return ACL_MASK;
	case ARCHIVE_ENTRY_ACL_OTHER:
		return ACL_OTHER;
	default:
		return 0;
	}
}

static int compare_entries(const void *a, const void *b)
{
	const struct acl_entry *x = a;
	const struct acl_entry *y = b;
	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

uint32_t acl_mode(struct archive_entry *entry, uint32_t mode)
{
	int type, permset, tag, id;
	const char *name;
	archive_entry_acl_reset(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS);
	while (archive_entry_acl_next(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, &type, &permset, &tag,
		       &id, &name) == ARCHIVE_OK) {
		if (tag == ARCHIVE_ENTRY_ACL_MASK)
			mode = (mode & ~070u) | (uint32_t)(permset & 7) << 3;
	}
	return mode;
}

int acl_to_xattr(
	struct archive_entry *entry, bool is_default, struct buffer *out, struct error *err)
{
	int wanted = is_default ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT : ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
	int type, permset, tag, id;
	const char *name;
	size_t count = 0;
	size_t capacity = 0;
	cleanup_free struct acl_entry *entries = NULL;

	/* An access ACL of three entries is the mode once more. */
	if (archive_entry_acl_reset(entry, wanted) <= (is_default ? 0 : 3))
		return 0;
	while (archive_entry_acl_next(entry, wanted, &type, &permset, &tag, &id, &name) == 0) {
		if (type != wanted || linux_tag(tag) == 0)
			continue;
		bool named = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;
		if (named && id < 0)
			return error_set(err, ERROR_INPUT, EINVAL,
				"its ACL has %s \"%s\", of which the archive does not say the "
				"number; "
				"make it with numeric owners",
				tag == ARCHIVE_ENTRY_ACL_USER ? "user" : "group",
				name != NULL ? name : "");
		entries = array_grow(entries, count, &capacity, sizeof(*entries));
		entries[count++] = (struct acl_entry){.tag = linux_tag(tag),
			.perm = (uint16_t)(permset & 7),
			.id = named ? (uint32_t)id : UINT32_MAX};
	}
	if (count == 0)
		return 0;
	qsort(entries, count, sizeof(*entries), compare_entries);
	uint32_t version = htole32(POSIX_ACL_XATTR_VERSION);
	buffer_add(out, &version, sizeof(version));
	for (size_t i = 0; i < count; i++) {
		uint16_t half = htole16(entries[i].tag);
		buffer_add(out, &half, sizeof(half));
		half = htole16(entries[i].perm);
		buffer_add(out, &half, sizeof(half));
		uint32_t word = htole32(entries[i].id);
		buffer_add(out, &word, sizeof(word));
	}
	return 0;
}
