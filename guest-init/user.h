/* Who a program in the image runs as. */
#ifndef GUEST_INIT_USER_H
#define GUEST_INIT_USER_H

#include <stddef.h>
#include <sys/types.h>

#include "fault.h"

/* All zero is uid 0 and gid 0 without further groups. */
struct user {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary ones */
	size_t group_count;
	char *home; /* NULL: the image does not say */
};

/*
 * Looks "NAME|UID[:GROUP|GID]" up in /etc/passwd and /etc/group, as they are beneath the process's
 * root folder, by the rules of container engines: what is all digits is a number, and need not be
 * in the files; without a GROUP the group is the one of passwd, and the supplementary groups are
 * those that have the user as a member; with a GROUP there are none. Fails where a name is unknown
 * or a number too big. What it finds stays allocated for init's life, once a job.
 */
int user_find(const char *text, struct user *user, struct fault *fault);

/* Makes the calling process the user's. */
int user_become(const struct user *user, struct fault *fault);

#endif
