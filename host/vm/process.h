/*
 * QEMU as a process: inherits the descriptors it is given and no others, cannot gain privileges,
 * and ends no later than layervm does.
 */
#ifndef LAYERVM_VM_PROCESS_H
#define LAYERVM_VM_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "support/error.h"

#define PROCESS_FDS_MAX 16

struct process_options {
	const char *program;      /* found on PATH where it has no '/' */
	char *const *argv;        /* NULL at the end */
	int fds[PROCESS_FDS_MAX]; /* what descriptor number i is there; they stay open here */
	size_t fd_count;          /* of them, at least the 3 standard ones */
	uint64_t file_limit;      /* bytes, the longest that a file may become */
};

struct process {
	pid_t pid; /* -1: none; it leads a process group of its own */
	int pidfd; /* readable once it has ended */
};
#define PROCESS_NONE ((struct process){.pid = -1, .pidfd = -1})

/*
 * Starts a program. Fails with ERROR_QEMU where it is not found or cannot be executed. The
 * program gets SIGKILL when the calling thread ends.
 */
int process_start(
	const struct process_options *options, struct process *process, struct error *err);

/*
 * Waits for the end, and ends what is left of its group. *status: as waitpid(2) gives it. The
 * process is none afterwards.
 */
int process_wait(struct process *process, int *status, struct error *err);

/* Ends the process and its group by SIGKILL, if there is one, and waits for it. */
void process_kill(struct process *process);
#define cleanup_process __attribute__((cleanup(process_kill)))

#endif
