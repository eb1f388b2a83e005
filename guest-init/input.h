/* What the host sent for the job's standard input and the job has not taken yet. */
#ifndef GUEST_INIT_INPUT_H
#define GUEST_INIT_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"

/* Made by input_init. It holds what the host may send unasked, and no more. */
struct input {
	int *fd;   /* takes the bytes, does not block; becomes -1 when it is done with */
	bool open; /* the host may send more */
	size_t start, len;
	uint8_t bytes[STDIN_WINDOW];
};

/* fd: where the bytes go; it points to -1 where the job has no input. */
void input_init(struct input *input, int *fd);

/* Takes the payload of a frame STDIN; none is the end. Fails where it is more than was granted. */
int input_add(struct input *input, const void *data, size_t len, struct fault *fault);

/* Whether there is something to write. */
bool input_waits(const struct input *input);

/*
 * Writes what is taken at once, and closes the descriptor after the last byte. Where nobody reads
 * any more the bytes are dropped. *taken: how many bytes are done with.
 */
int input_pass_on(struct input *input, size_t *taken, struct fault *fault);

#endif
