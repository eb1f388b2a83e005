/* The helper as a call: started, followed until it is gone, its tar kept. */
#ifndef LAYERVM_GUESTFS_HELPER_H
#define LAYERVM_GUESTFS_HELPER_H

#include <stdint.h>

#include "support/child.h"
#include "support/error.h"
#include "support/report.h"

struct helper_job {
	const char *const *arguments; /* after ACCEL (messages.h), NULL at the end */
	int base;                     /* descriptors of "written"; else -1 */
	int overlay;
};

/* A helper that runs, and our ends of its pipes. */
struct helper {
	struct child child;
	int tar;
	int messages;
	int log; /* its standard output and standard error */
};
#define HELPER_NONE ((struct helper){.child = CHILD_NONE, .tar = -1, .messages = -1, .log = -1})

/*
 * Starts the helper. It gets SIGTERM when the calling thread ends. Fails with ERROR_INTERNAL,
 * which says what to install, where there is none.
 */
int helper_start(const struct helper_job *job, struct helper *helper, struct error *err);

/* Ends the helper if it still runs, with what it started; waits for that. Closes the pipes. */
void helper_end(struct helper *helper);
#define cleanup_helper __attribute__((cleanup(helper_end)))

/*
 * Starts the helper and waits for its end. *tar: an unnamed temporary file with what it wrote,
 * of *size bytes, blocks of zeros as holes; the caller closes it. report: or NULL. Fails with the
 * helper's own error, with ERROR_INTERNAL where it ended without one, with ERROR_LIMIT where the
 * tar is larger than LAYER_SIZE_MAX, and when interrupted.
 */
int helper_run(const struct helper_job *job, int *tar, uint64_t *size, struct report *report,
	struct error *err);

#endif
