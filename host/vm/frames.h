/*
 * Ethernet frames on their way through, in one direction: a stream of them comes in pieces of any
 * length, and those that may pass go out again. In the stream each frame follows its length, 32
 * bits in network byte order, as QEMU's stream sockets and passt have it. Knows no descriptors.
 */
#ifndef LAYERVM_VM_FRAMES_H
#define LAYERVM_VM_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vm/packets.h"

#define FRAME_LENGTH_SIZE 4

/* A frame of more bytes, which is more than the longest IPv4 packet takes, never passes; nor does
 * one that is shorter than an Ethernet header. */
#define FRAME_MAX (ETHERNET_HEADER + 65535)

/*
 * What is handed out in one piece is whole frames of no more bytes than this, or a single longer
 * one: a unix socket moves a piece of this size all or not at all, and passt (of 2023) loses its
 * place in the stream where a read of it ends in a frame's length.
 */
#define FRAMES_PIECE_MAX 32768

#define FRAMES_SIZE 262144

/* With `allows` set and else all zero there are none. */
struct frames {
	/* Whether a frame may pass; NULL: all do. */
	bool (*allows)(const uint8_t *frame, size_t len);
	size_t start;     /* in bytes: what goes out next begins here, */
	size_t whole;     /* ends here, and is followed by a frame that has not come whole, */
	size_t end;       /* up to here */
	size_t cut;       /* of the frame at start that has gone out in part: bytes that have not */
	uint32_t skipped; /* of a frame that is too long: bytes that have yet to come */
	uint8_t bytes[FRAMES_SIZE];
};

/*
 * Where *len bytes of the stream may be put. *len is 0 while too little has gone out; where nothing
 * is to go out it never is.
 */
uint8_t *frames_room(struct frames *frames, size_t *len) __attribute__((returns_nonnull));

/* So many bytes, of the *len of frames_room, came there. */
void frames_came(struct frames *frames, size_t len);

/* What is to go out next, in one write; *len: 0 for nothing. Stays as it is until frames_room. */
const uint8_t *frames_piece(const struct frames *frames, size_t *len)
	__attribute__((returns_nonnull));

/* So many bytes of the last frames_piece have gone out. */
void frames_went(struct frames *frames, size_t len);

#endif
