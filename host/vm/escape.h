/* The keys that leave a session, found in what is typed. A pure function over bytes and time. */
#ifndef LAYERVM_VM_ESCAPE_H
#define LAYERVM_VM_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/buffer.h"

#define ESCAPE_KEY 0x1d    /* Ctrl-] */
#define ESCAPE_KEY_MS 1000 /* from the first to the third one */

struct escape {
	bool within_line; /* a `~` is no more than that */
	bool tilde;       /* one is held back, until it is known what it stands for */
	unsigned keys;    /* of ESCAPE_KEY in a row, the last two */
	int64_t times[2]; /* when they came */
};

/*
 * Takes typed bytes at a time in milliseconds. Adds to out what is for the guest, at most one byte
 * more than came. Returns whether the session is to be left: ESCAPE_KEY came three times within a
 * second and nothing between, or `~.` at the beginning of a line; then the rest is dropped. Each
 * of the keys but the last one is passed on, and `~~` at the beginning of a line is one `~`, as
 * ssh(1) has it. All zero is the beginning.
 */
bool escape_filter(
	struct escape *escape, const uint8_t *data, size_t len, int64_t now, struct buffer *out);

#endif
