/* A descriptor that takes bytes without ever making the writer wait, whatever it is. */
#ifndef LAYERVM_SUPPORT_OUTLET_H
#define LAYERVM_SUPPORT_OUTLET_H

#include <stdbool.h>
#include <stddef.h>

#include "support/buffer.h"
#include "support/error.h"

struct outlet {
	int fd; /* -1: what is written is dropped */
	bool owned;
	bool socket;
	bool terminal;
	size_t piece; /* bytes that one write may have after POLLOUT */
	bool gone;    /* the reader is, or the file takes no more: what is written is dropped */
};

/*
 * The descriptor as one that does not wait. Pipes and terminals are opened anew, since the flag
 * would hold for everybody who has the same description; where that cannot be, *piece says how
 * many bytes go in after POLLOUT. *owned: whether the result is a new one, for the caller to
 * close.
 */
int outlet_unblock(int fd, int access, bool *owned, size_t *piece);

/* Makes an outlet of a descriptor, which stays the caller's. */
void outlet_open(struct outlet *outlet, int fd);

/* Whether two outlets are one and the same file. */
bool outlet_same(const struct outlet *a, const struct outlet *b);

/*
 * Writes some of the bytes after POLLOUT, and consumes them; drops all once the reader is gone.
 * Fails once with ERROR_OUTPUT where the file cannot be written for another reason, and drops all
 * from then on. The process ignores SIGPIPE.
 */
int outlet_write(struct outlet *outlet, struct buffer *bytes, struct error *err);

/*
 * Writes all of the bytes, and waits for the reader as long as no signal (interrupt.h) comes. Here
 * a reader that has gone is an ERROR_OUTPUT like others. name: for messages.
 */
int outlet_send(const struct outlet *outlet, const void *data, size_t len, const char *name,
	struct error *err);

void outlet_close(struct outlet *outlet);

#endif
