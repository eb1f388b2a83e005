#include "vm/frames.h"

#include <string.h>

#define ENTRY_MAX (FRAME_LENGTH_SIZE + FRAME_MAX)

_Static_assert(FRAMES_SIZE >= 2 * ENTRY_MAX, "the longest frame fits behind part of another");

static uint32_t read_32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Bytes that a frame which has come whole takes with its length. */
static size_t entry_size(const struct frames *frames, size_t at)
{
	return FRAME_LENGTH_SIZE + (size_t)read_32(frames->bytes + at);
}

uint8_t *frames_room(struct frames *frames, size_t *len)
{
	/* Bytes move when those that went out are the greater part, so that each moves seldom. */
	if (frames->start == frames->whole || frames->start >= FRAMES_SIZE / 2) {
		memmove(frames->bytes, frames->bytes + frames->start, frames->end - frames->start);
		frames->whole -= frames->start;
		frames->end -= frames->start;
		frames->start = 0;
	}
	*len = FRAMES_SIZE - frames->end;
	if (*len < ENTRY_MAX)
		*len = 0;
	return frames->bytes + frames->end;
}

static bool may_pass(const struct frames *frames, const uint8_t *frame, size_t len)
{
	return len >= ETHERNET_HEADER && (frames->allows == NULL || frames->allows(frame, len));
}

/* Leaves out what is still to come, at `at`, of a frame that is too long. Returns what follows. */
static size_t skip(struct frames *frames, size_t at)
{
	const size_t there = frames->end - at;
	const uint32_t step = frames->skipped < there ? frames->skipped : (uint32_t)there;
	frames->skipped -= step;
	return at + step;
}

void frames_came(struct frames *frames, size_t len)
{
	uint8_t *bytes = frames->bytes;
	size_t from = frames->whole;
	size_t to = frames->whole;
	frames->end += len;
	for (;;) {
		from = skip(frames, from);
		if (frames->end - from < FRAME_LENGTH_SIZE)
			break;
		const uint32_t length = read_32(bytes + from);
		if (length > FRAME_MAX) {
			frames->skipped = length;
			from += FRAME_LENGTH_SIZE;
			continue;
		}
		if (frames->end - from - FRAME_LENGTH_SIZE < length)
			break;
		const size_t size = FRAME_LENGTH_SIZE + length;
		if (may_pass(frames, bytes + from + FRAME_LENGTH_SIZE, length)) {
			if (to != from)
				memmove(bytes + to, bytes + from, size);
			to += size;
		}
		from += size;
	}
	if (to != from)
		memmove(bytes + to, bytes + from, frames->end - from);
	frames->end -= from - to;
	frames->whole = to;
}

const uint8_t *frames_piece(const struct frames *frames, size_t *len)
{
	size_t end = frames->start + frames->cut;
	while (frames->cut == 0 && end < frames->whole) {
		const size_t size = entry_size(frames, end);
		if (end != frames->start && end + size - frames->start > FRAMES_PIECE_MAX)
			break;
		end += size;
	}
	*len = end - frames->start;
	return frames->bytes + frames->start;
}

void frames_went(struct frames *frames, size_t len)
{
	while (len > 0) {
		if (frames->cut == 0)
			frames->cut = entry_size(frames, frames->start);
		const size_t step = len < frames->cut ? len : frames->cut;
		frames->start += step;
		frames->cut -= step;
		len -= step;
	}
}
