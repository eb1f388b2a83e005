/*
 * QEMU as a process: inherits the descriptors it is given and no others, cannot gain privileges, is
 * refused system calls that it does not need (wall.h), opens no file of the user's and executes
 * only itself where the kernel can forbid the rest (landlock.h), and ends no later than layervm.
 */
#ifndef LAYERVM_VM_PROCESS_H
#define LAYERVM_VM_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "support/child.h"
#include "support/error.h"

#define PROCESS_FDS_MAX 32
#define PROCESS_READABLE_MAX 2

struct process_options {
	const char *program;      /* found on PATH where it has no '/' */
	char *const *argv;        /* NULL at the end */
	int fds[PROCESS_FDS_MAX]; /* what descriptor number i is there; they stay open here */
	size_t fd_count;          /* of them, at least the 3 standard ones */
	uint64_t file_limit;      /* bytes, the longest that a file may become */
	/* Files that it opens by name, for reading, besides those that programs need; NULL: none.
	 */
	const char *readable[PROCESS_READABLE_MAX];
	int memory_fd; /* a file that it opens by the number in fds, for both; 0: none */
};

/*
 * Starts a program. Fails with ERROR_QEMU where it is not found or cannot be executed. The
 * program gets SIGKILL when the calling thread ends.
 */
int process_start(const struct process_options *options, struct child *child, struct error *err);

/* Lowers file_limit for a program that runs already, or has just ended. */
int process_limit_files(const struct child *child, uint64_t file_limit, struct error *err);

#endif
