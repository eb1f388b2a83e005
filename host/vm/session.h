/*
 * The conversation with the guest's init, as a state machine: bytes of the guest in, bytes for
 * the guest out. The guest is hostile: whatever breaks guest-init/protocol.h is an error. Knows
 * no descriptors and no clock.
 */
#ifndef LAYERVM_VM_SESSION_H
#define LAYERVM_VM_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"
#include "support/buffer.h"
#include "support/error.h"
#include "support/report.h"
#include "vm/request.h"
#include "vm/vm.h"

enum session_stage {
	SESSION_BOOTING,  /* no HELLO yet */
	SESSION_WAKING,   /* WAKE was sent, no AWAKE came yet */
	SESSION_STARTING, /* a job was given */
	SESSION_RUNNING,  /* its program runs, or the layers are being unpacked */
	SESSION_ENDING,   /* the last job's EXIT came: the disks are being unmounted */
	SESSION_OVER,     /* BYE or FAILURE came: the guest may be switched off */
};

struct session {
	const struct vm_options *options; /* of the run */
	const struct vm_job *job;         /* the run's */
	struct report *report;            /* takes the output of jobs without streams */
	struct request_files files;       /* session_resize changes the terminal's size */

	enum session_stage stage;
	const struct vm_job *current; /* from SESSION_STARTING on: job, or its on_failure */
	uint64_t logged;              /* bytes of output for the report so far */
	struct buffer to;             /* for the guest; the caller sends it: session_sent */
	struct buffer from;           /* the part of a frame that came so far */
	struct buffer out, err;       /* output of a job with streams; the caller consumes it */
	size_t under_way;             /* bytes of input that the job has not taken yet */
	bool input_ended;
	bool asked;      /* PING was sent, and no PONG came yet */
	bool terminated; /* session_terminate was called: no other job follows */
	bool killed;     /* session_kill was */

	/* How the run's own job ended, and the run. */
	struct exit_report exit;          /* all zero: it did not */
	char words[FRAME_TEXT_MAX + 1];   /* EXIT's words, or STDERR's of VM_JOB_UNPACK */
	char failure[FRAME_TEXT_MAX + 1]; /* FAILURE's words, of whichever job */
	char disk[FRAME_TEXT_MAX + 1];    /* BYE's words; empty: unmounted cleanly */
	bool failed;                      /* FAILURE came */
};

/* The guest was saved after its HELLO and goes on from there: it is sent WAKE. */
void session_resume(struct session *session);

/*
 * Takes bytes of the guest, in pieces of any length. Fails with ERROR_GUEST where they break the
 * protocol, and with ERROR_LIMIT where the output passes the options' log_limit; the session is
 * of no use then.
 */
int session_receive(struct session *session, const void *data, size_t len, struct error *err);

/* That so many bytes of `to` were sent. Once all of them were, nothing is left of secrets in it. */
void session_sent(struct session *session, size_t len);

/* Whether the job that runs has the terminal. */
bool session_has_terminal(const struct session *session);

/* How many bytes of input the job can be given now. 0 while it takes none, and after the end. */
size_t session_room(const struct session *session);

/* Gives the job bytes of input, at most as many as there is room for; none are its end. */
void session_input(struct session *session, const void *data, size_t len);

/* The terminal's size is, or may be, another one. */
void session_resize(struct session *session, uint32_t rows, uint32_t columns);

/* Asks the guest whether its init still does its work; while a job runs, and no PONG is awaited. */
void session_ask(struct session *session);

/* Asks the guest to end the job that runs or is about to; no other job follows. */
void session_terminate(struct session *session);

/* Has the guest end the job by SIGKILL, after session_terminate. */
void session_kill(struct session *session);

/* Frees what the session holds. */
void session_free(struct session *session);
#define cleanup_session __attribute__((cleanup(session_free)))

#endif
