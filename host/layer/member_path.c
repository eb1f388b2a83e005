#include "layer/member_path.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "tree/tree.h"

#define OPAQUE_NAME ".wh..wh..opq"
#define NOTE_PREFIX ".wh..wh."
#define LINKED_FOLDER ".wh..wh.plnk"

static bool begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Takes the last part away; false where there is none. */
static bool pop(struct member_path *path)
{
	if (path->len == 0)
		return false;
	while (path->len > 0 && path->text[--path->len] != '/')
		;
	return true;
}

/* Adds a part; false where there is no room for it. */
static bool push(struct member_path *path, const char *part, size_t len)
{
	size_t slash = path->len != 0;
	if (len >= sizeof(path->text) - path->len - slash)
		return false;
	if (slash != 0)
		path->text[path->len++] = '/';
	memcpy(path->text + path->len, part, len);
	path->len += len;
	return true;
}

static int too_long(const char *name, struct error *err)
{
	return error_set(err, ERROR_INPUT, ENAMETOOLONG,
		"%.64s...: a path of %zu bytes; the most is %d", name, strlen(name), PATH_MAX - 1);
}

static int check_lengths(const char *name, const struct member_path *path, struct error *err)
{
	size_t prefix = strlen(WHITEOUT_PREFIX);
	size_t spared = begins_with(path->text + path->last, WHITEOUT_PREFIX) ? prefix : 0;
	if (path->len - spared >= PATH_MAX)
		return too_long(name, err);
	for (const char *part = path->text; *part != '\0';) {
		size_t len = strcspn(part, "/");
		bool is_last = part == path->text + path->last;
		if (len > TREE_NAME_MAX + (is_last ? spared : 0))
			return error_set(err, ERROR_INPUT, ENAMETOOLONG,
				"%s: a part of the name has %zu bytes; the most is %d", name, len,
				TREE_NAME_MAX);
		part += len + (part[len] == '/');
	}
	return 0;
}

int member_path_clean(const char *name, struct member_path *out, struct error *err)
{
	out->len = 0;
	for (const char *part = name; *part != '\0';) {
		size_t len = strcspn(part, "/");
		if (len == 2 && memcmp(part, "..", 2) == 0) {
			if (!pop(out))
				return error_set(err, ERROR_INPUT, EINVAL,
					"%s: its \"..\" leads out of the image", name);
		} else if (len != 0 && !(len == 1 && *part == '.') && !push(out, part, len)) {
			return too_long(name, err);
		}
		part += len + (part[len] == '/');
	}
	out->text[out->len] = '\0';
	const char *slash = strrchr(out->text, '/');
	out->last = slash != NULL ? (size_t)(slash + 1 - out->text) : 0;
	return check_lengths(name, out, err);
}

/* The first part that aufs wrote for itself, of those above the last; NULL: there is none. */
static const char *find_note(const struct member_path *path)
{
	const char *end = path->text + path->last;
	for (const char *part = path->text; part < end; part += strcspn(part, "/") + 1) {
		if (begins_with(part, NOTE_PREFIX))
			return part;
	}
	return NULL;
}

enum member_kind member_path_kind(const struct member_path *path)
{
	const char *last = path->text + path->last;
	const char *note = find_note(path);
	if (note != NULL) {
		size_t len = strlen(LINKED_FOLDER "/");
		bool is_linked = note + len == last && begins_with(note, LINKED_FOLDER "/") &&
				 !begins_with(last, WHITEOUT_PREFIX);
		return is_linked ? MEMBER_LINKED : MEMBER_NOTE;
	}
	if (strcmp(last, OPAQUE_NAME) == 0)
		return MEMBER_OPAQUE;
	if (begins_with(last, NOTE_PREFIX))
		return MEMBER_NOTE;
	return begins_with(last, WHITEOUT_PREFIX) ? MEMBER_WHITEOUT : MEMBER_ENTRY;
}
