/* A member of a layer, as the reader of the archive and the check beside it have it. */
#ifndef GUEST_INIT_UNPACK_MEMBER_H
#define GUEST_INIT_UNPACK_MEMBER_H

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>

#include "layer/tar_check.h"

struct member {
	struct archive *archive; /* which stands at the member's data */
	struct archive_entry *entry;
	struct tar_said said;
};

/* Names in pax headers as they are: libarchive composes their characters. NULL: there is none. */
static inline const char *member_path(const struct member *member)
{
	return member->said.path != NULL ? member->said.path
					 : archive_entry_pathname(member->entry);
}

static inline const char *member_symlink(const struct member *member)
{
	return member->said.target != NULL ? member->said.target
					   : archive_entry_symlink(member->entry);
}

/* The target of a hard link. NULL: the member is none. */
static inline const char *member_hardlink(const struct member *member)
{
	const char *target = archive_entry_hardlink(member->entry);
	return target != NULL && member->said.target != NULL ? member->said.target : target;
}

static inline bool member_is_directory(const struct member *member)
{
	return member_hardlink(member) == NULL && archive_entry_filetype(member->entry) == AE_IFDIR;
}

#endif
