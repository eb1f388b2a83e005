/* The port to the host, frame by frame; see protocol.h. */
#ifndef GUEST_INIT_CHANNEL_H
#define GUEST_INIT_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "protocol.h"

/* Opens the port. The device must be there: see devices.h. Returns the descriptor or -1. */
int channel_open(struct fault *fault);

/* Sends a whole frame; waits while the host does not read. length: at most FRAME_MAX. */
int channel_send(
	int channel, enum frame_type type, const void *payload, size_t length, struct fault *fault);

/* A frame from the host; payload is followed by a NUL that length does not count. */
struct frame {
	enum frame_type type;
	uint32_t length;
	char *payload;
};

/* Waits for a whole frame. The caller frees the payload with frame_free. */
int channel_receive(int channel, struct frame *frame, struct fault *fault);

/* Reads the size of a terminal, in characters: the payload of TERMINAL and WINSIZE. */
int frame_window_size(
	const struct frame *frame, uint32_t *rows, uint32_t *columns, struct fault *fault);

void frame_free(struct frame *frame);
#define cleanup_frame __attribute__((cleanup(frame_free)))

#endif
