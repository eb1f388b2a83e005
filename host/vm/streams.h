/*
 * A job's standard files on the host: what comes from them goes to the session, what the session
 * has goes to them, as far as each takes it at once. Never waits itself: the poll loop does.
 */
#ifndef LAYERVM_VM_STREAMS_H
#define LAYERVM_VM_STREAMS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "support/error.h"
#include "support/outlet.h"
#include "vm/escape.h"
#include "vm/session.h"
#include "vm/terminal.h"
#include "vm/vm.h"

/* Output of the job that waits for its reader; from here on the guest is not listened to. */
#define STREAMS_PENDING_MAX (256u << 10)

struct streams {
	struct session *session;
	struct terminal *terminal; /* borrowed; NULL: none */
	struct escape escape;
	int in; /* -1: none, or at its end */
	bool in_owned;
	struct outlet out, err;
};

/* What happened to the session by its streams. */
enum streams_event {
	STREAMS_NOTHING = 0,
	STREAMS_ESCAPED = 1,     /* the user leaves */
	STREAMS_READER_GONE = 2, /* nobody reads the output any more */
};

/*
 * Binds the streams of the session's job, or of the one after it, if one of them has any. Before
 * the guest's first byte is taken. The caller frees them with streams_close.
 */
int streams_open(struct streams *streams, struct session *session, struct error *err);

/* Whether so much output waits that no more of it should be taken from the guest. */
bool streams_full(const struct streams *streams);

/* Whether output waits. */
bool streams_pending(const struct streams *streams);

/* Drops the output that waits. */
void streams_drop(struct streams *streams);

/*
 * Brings the streams up to the session's stage, before each streams_watch: makes the terminal raw
 * where the job that runs has it, and gives it back once that has ended and all was shown.
 */
int streams_follow(struct streams *streams, struct error *err);

enum { STREAMS_IN, STREAMS_OUT, STREAMS_ERR, STREAMS_SIGNALS, STREAMS_FDS };

/* What to wait for now. */
void streams_watch(const struct streams *streams, struct pollfd fds[static STREAMS_FDS]);

/*
 * Passes on what poll found. now: milliseconds. Returns an enum streams_event, or a negative errno
 * with the error of the file that failed.
 */
int streams_act(struct streams *streams, const struct pollfd fds[static STREAMS_FDS], int64_t now,
	struct error *err);

/* Gives the terminal back, and closes what was opened here. An empty struct is allowed. */
void streams_close(struct streams *streams);
#define cleanup_streams __attribute__((cleanup(streams_close)))

#endif
