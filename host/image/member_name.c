#include "image/member_name.h"

#include <stdbool.h>
#include <string.h>

#include "support/buffer.h"

/*
 * Adds the parts of a name to a normalised one. Returns whether it stays inside the root; ".."
 * above the root does not.
 */
static bool add_parts(struct buffer *path, const char *name)
{
	while (*name != '\0') {
		size_t len = strcspn(name, "/");
		if (len == 2 && memcmp(name, "..", 2) == 0) {
			if (path->len == 0)
				return false;
			while (path->len > 0 && path->data[path->len - 1] != '/')
				path->len--;
			if (path->len > 0)
				path->len--;
		} else if (len != 0 && !(len == 1 && name[0] == '.')) {
			if (path->len > 0)
				buffer_add(path, "/", 1);
			buffer_add(path, name, len);
		}
		name += len;
		if (*name == '/')
			name++;
	}
	return true;
}

char *member_name_normalise(const char *name)
{
	cleanup_buffer struct buffer path = {0};
	if (!add_parts(&path, name))
		return NULL;
	return buffer_steal_text(&path);
}

char *member_name_target(const char *name, const char *target)
{
	cleanup_buffer struct buffer path = {0};
	const char *slash = strrchr(name, '/');
	if (target[0] != '/' && slash != NULL)
		buffer_add(&path, name, (size_t)(slash - name));
	if (!add_parts(&path, target))
		return NULL;
	return buffer_steal_text(&path);
}
