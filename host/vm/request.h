/*
 * What the host says to the guest's init, as frames of guest-init/protocol.h: what surrounds the
 * run, and each job.
 */
#ifndef LAYERVM_VM_REQUEST_H
#define LAYERVM_VM_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"
#include "support/buffer.h"
#include "support/error.h"
#include "vm/vm.h"

/* Checks what of a job the protocol or execve(2) cannot take. Fails with ERROR_SPEC. */
int request_check_job(const struct vm_job *job, struct error *err);

/* Checks what of a run's mounts and secrets the protocol cannot take. Fails with ERROR_SPEC. */
int request_check_setup(const struct vm_options *options, struct error *err);

/*
 * Adds a frame, of at most FRAME_MAX bytes. What `to` held before may be secret: no copy of it is
 * left in freed memory.
 */
void request_put(struct buffer *to, enum frame_type type, const void *payload, size_t len);

/* Adds what is for the whole run: the time, random bytes, the network, mounts, secrets. */
int request_put_setup(struct buffer *to, const struct vm_options *options, struct error *err);

/* What a job finds at its standard files, beside what the job itself says. */
struct request_files {
	uint32_t rows, columns; /* of its terminal, if it has one */
	bool one_output;        /* standard error goes where standard output goes */
};

/* Adds a job with its START. */
void request_put_job(
	struct buffer *to, const struct vm_job *job, const struct request_files *files);

/* Adds the size of a terminal, as TERMINAL or WINSIZE. */
void request_put_size(struct buffer *to, enum frame_type type, uint32_t rows, uint32_t columns);

#endif
