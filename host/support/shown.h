/* Standard output as a stream that a signal ends: what a command shows there. */
#ifndef LAYERVM_SUPPORT_SHOWN_H
#define LAYERVM_SUPPORT_SHOWN_H

#include <stdio.h>

#include "support/error.h"

struct shown;

/* Freed by shown_free. */
struct shown *shown_open(void);

/*
 * The stream to print to. Whoever prints waits for the reader as long as no signal (interrupt.h)
 * comes; then, and where the reader is gone, the stream has an error (ferror).
 */
FILE *shown_stream(struct shown *shown);

/*
 * Writes what is left. r, err: how the work that was shown ended. Returns that, or what the stream
 * failed with where the work was well or failed for this.
 */
int shown_finish(struct shown *shown, int r, struct error *err);

/* NULL is allowed. */
void shown_free(struct shown *shown);

static inline void cleanup_shown_fn(struct shown **shown)
{
	shown_free(*shown);
}
#define cleanup_shown __attribute__((cleanup(cleanup_shown_fn)))

#endif
