#include "layer/pax_xattr.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdbool.h>
#include <string.h>

#include "layer/pax.h"

#define PREFIX "SCHILY.xattr."

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

/* The name of a record's attribute, ended in its place; NULL: the record has none. */
static const char *xattr_name(const struct buffer *records, const struct pax_record *record)
{
	size_t prefix = strlen(PREFIX);
	if (record->key_len <= prefix || memcmp(record->key, PREFIX, prefix) != 0)
		return NULL;
	char *name = (char *)records->data + (record->key - (const char *)records->data) + prefix;
	name[record->key_len - prefix] = '\0';
	return is_linux_xattr(name) ? name : NULL;
}

int pax_xattrs(struct buffer *records, struct pax_xattr out[PAX_XATTRS_MAX], size_t *count,
	struct error *err)
{
	struct pax_record record;
	size_t at = 0;
	*count = 0;
	while (pax_next(records, &at, &record) > 0) {
		const char *name = xattr_name(records, &record);
		if (name == NULL)
			continue;
		if (*count == PAX_XATTRS_MAX)
			return error_set(err, ERROR_INPUT, E2BIG,
				"more than %d extended attributes", PAX_XATTRS_MAX);
		if (strlen(name) > XATTR_NAME_MAX || record.value_len > XATTR_SIZE_MAX)
			return error_set(err, ERROR_INPUT, E2BIG,
				"attribute %.64s: a name of %zu bytes and a value of %zu, where "
				"Linux takes %d and %d",
				name, strlen(name), record.value_len, XATTR_NAME_MAX,
				XATTR_SIZE_MAX);
		out[(*count)++] = (struct pax_xattr){
			.name = name, .value = record.value, .len = record.value_len};
	}
	return 0;
}
