/*
 * What a program may open of the host's files, whatever it is made to do: Linux's Landlock
 * (Documentation/userspace-api/landlock.rst). Descriptors that it is given are not touched by it.
 */
#ifndef LAYERVM_SUPPORT_LANDLOCK_H
#define LAYERVM_SUPPORT_LANDLOCK_H

#include <stddef.h>

#include "support/error.h"
#include "support/memory.h"

enum landlock_access {
	LANDLOCK_READ_FILE,  /* a file, for reading */
	LANDLOCK_USE_FILE,   /* a file, for reading and writing */
	LANDLOCK_READ_BELOW, /* all below a folder, for reading and listing */
	LANDLOCK_RUN_BELOW,  /* the same, and a file itself, with executing */
	LANDLOCK_DEVICE,     /* a device, for reading, writing and ioctl(2) */
};

struct landlock_rule {
	const char *path; /* that does not exist: it is left out */
	enum landlock_access access;
};

/* Rules for one program that is started. */
struct landlock {
	int ruleset; /* -1: the kernel has no Landlock */
};
#define LANDLOCK_NONE ((struct landlock){.ruleset = -1})

/*
 * Everything that the kernel can forbid is forbidden but for the rules: files, and, from their
 * versions on, TCP, abstract sockets and signals to processes outside. A kernel without Landlock
 * (before 5.13, or where it is off) is no failure. The caller closes landlock.
 */
int landlock_make(const struct landlock_rule *rules, size_t count, struct landlock *landlock,
	struct error *err);

/*
 * Puts the calling process under the rules, which has no_new_privs; it may also read its own
 * folder of /proc. System calls only. Returns 0 or an errno value. The rules are used up.
 */
int landlock_enter(const struct landlock *landlock);

static inline void landlock_close(struct landlock *landlock)
{
	cleanup_close_fn(&landlock->ruleset);
}
#define cleanup_landlock __attribute__((cleanup(landlock_close)))

#endif
