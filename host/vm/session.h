/*
 * The conversation with the guest's init, as a state machine: bytes of the guest in, bytes for
 * the guest out. The guest is hostile: whatever breaks guest-init/protocol.h is an error. Knows
 * no descriptors and no clock.
 */
#ifndef LAYERVM_VM_SESSION_H
#define LAYERVM_VM_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "protocol.h"
#include "support/buffer.h"
#include "support/error.h"
#include "support/report.h"
#include "vm/vm.h"

enum session_stage {
	SESSION_BOOTING,  /* no HELLO yet */
	SESSION_STARTING, /* the job was given */
	SESSION_RUNNING,  /* the script runs, or the layers are being unpacked */
	SESSION_ENDING,   /* EXIT came: the disk is being unmounted */
	SESSION_OVER,     /* BYE or FAILURE came: the guest may be switched off */
};

struct session {
	const struct vm_job *job;
	struct report *report; /* takes the script's output */
	uint64_t log_limit;    /* as in struct vm_options */

	enum session_stage stage;
	uint64_t logged;                  /* bytes of output so far */
	struct buffer to;                 /* for the guest; the caller sends and consumes it */
	struct buffer from;               /* the part of a frame that came so far */
	struct exit_report exit;          /* from SESSION_ENDING on; all zero: init failed before */
	char words[FRAME_TEXT_MAX + 1];   /* EXIT's words, or STDERR's of VM_JOB_UNPACK */
	char failure[FRAME_TEXT_MAX + 1]; /* FAILURE's words */
	char disk[FRAME_TEXT_MAX + 1];    /* BYE's words; empty: unmounted cleanly */
	bool failed;                      /* FAILURE came */
};

/* Checks what of the job the protocol or execve(2) cannot take. Fails with ERROR_SPEC. */
int session_check_job(const struct vm_job *job, struct error *err);

/*
 * Takes bytes of the guest, in pieces of any length. Fails with ERROR_GUEST where they break the
 * protocol, and with ERROR_LIMIT where the output passes log_limit; the session is of no use
 * then.
 */
int session_receive(struct session *session, const void *data, size_t len, struct error *err);

/* Asks the guest to end the job by SIGTERM. Only in SESSION_RUNNING. */
void session_terminate(struct session *session);

/* Frees what the session holds. */
void session_free(struct session *session);
#define cleanup_session __attribute__((cleanup(session_free)))

#endif
