/* A layer's member as an inode of its own. */
#ifndef GUEST_INIT_UNPACK_INODE_H
#define GUEST_INIT_UNPACK_INODE_H

#include "support/error.h"
#include "unpack/member.h"

/*
 * Makes what the member is as dir's entry `name`, with data and attributes. What had the name goes,
 * with all below it; only a directory stays where the member is one, with all below it.
 */
int inode_make(int dir, const char *name, struct member *member, struct error *err);

#endif
