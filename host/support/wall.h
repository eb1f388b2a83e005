/*
 * The system calls that a started program is refused for all its life: a seccomp filter (Linux's
 * Documentation/userspace-api/seccomp_filter.rst) that is there from the program's first
 * instruction on, also in a program that has, or comes to have, a sandbox of its own.
 */
#ifndef LAYERVM_SUPPORT_WALL_H
#define LAYERVM_SUPPORT_WALL_H

#include <linux/filter.h>
#include <stddef.h>

enum wall_kind {
	/*
	 * For a program that makes namespaces, sockets and processes, as passt and libguestfs do:
	 * what is left out are other processes' memory, the kernel's keys, programs and modules,
	 * the machine's clock and the like.
	 */
	WALL_OUTER,
	/*
	 * For QEMU, which gets all that it needs as descriptors: no namespace, process, socket or
	 * signal to another process besides, and no change of names, owners or modes of files.
	 */
	WALL_INNER,
};

#define WALL_CODE_MAX 512
#define WALL_OWN_MAX 16

/* A filter, and where in it the number of the program's own process is put. */
struct wall {
	struct sock_filter code[WALL_CODE_MAX];
	size_t count;
	size_t own[WALL_OWN_MAX];
	size_t own_count;
};

/* Writes a filter. It takes microseconds, and cannot fail. */
void wall_make(enum wall_kind kind, struct wall *wall);

/*
 * Puts the calling process behind the filter; it has no_new_privs, and goes on to execve(2). System
 * calls only, for use between fork and exec. Returns 0 or an errno value.
 *
 * A refused call fails with EPERM; one for which programs have another way fails with ENOSYS, as on
 * a kernel that lacks it, and so does each call that is newer than the filter, or of another
 * interface than x86-64's (i386, x32).
 */
int wall_enter(const struct wall *wall);

#endif
