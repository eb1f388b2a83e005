/* An archive's entry as an inode of its own. */
#ifndef GUEST_INIT_UNPACK_INODE_H
#define GUEST_INIT_UNPACK_INODE_H

#include <archive.h>
#include <archive_entry.h>

#include "support/error.h"

/*
 * Makes what the entry is as dir's entry `name`, with data and attributes. What had the name goes,
 * with all below it; only a directory stays where the entry is one, with all below it.
 */
int inode_make(int dir, const char *name, struct archive *archive, struct archive_entry *entry,
	struct error *err);

#endif
