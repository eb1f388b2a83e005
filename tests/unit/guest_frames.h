/* Frames of guest-init/protocol.h, as a guest would send them or a host should have. */
#ifndef TESTS_UNIT_GUEST_FRAMES_H
#define TESTS_UNIT_GUEST_FRAMES_H

#include <string.h>

#include "protocol.h"
#include "support/buffer.h"

static inline void add_frame(struct buffer *to, unsigned type, const void *payload, size_t len)
{
	uint8_t header[FRAME_HEADER_SIZE];
	frame_header_put(header, (enum frame_type)type, (uint32_t)len);
	buffer_add(to, header, sizeof(header));
	buffer_add(to, payload, len);
}

static inline void add_text(struct buffer *to, unsigned type, const char *text)
{
	add_frame(to, type, text, strlen(text));
}

static inline void add_u32(struct buffer *to, unsigned type, uint32_t first, uint32_t second)
{
	uint8_t payload[8];
	protocol_put_u32(payload, first);
	protocol_put_u32(payload + 4, second);
	add_frame(to, type, payload, type == FRAME_TAKEN ? 4 : 8);
}

#define ENTROPY_SIZE 64

/* What a host sends before a run's mounts and jobs, with zeros for the time and the random bytes.
 */
static inline void add_awakening(struct buffer *to)
{
	static const uint8_t zeros[ENTROPY_SIZE];
	add_frame(to, FRAME_WAKE, NULL, 0);
	add_frame(to, FRAME_CLOCK, zeros, CLOCK_SIZE);
	add_frame(to, FRAME_ENTROPY, zeros, ENTROPY_SIZE);
}

/* Where in such a beginning the time and the random bytes are. */
#define CLOCK_AT (2 * FRAME_HEADER_SIZE)
#define ENTROPY_AT (CLOCK_AT + CLOCK_SIZE + FRAME_HEADER_SIZE)
#define AWAKENING_SIZE (ENTROPY_AT + ENTROPY_SIZE)

/* Puts zeros in the place of the time and the random bytes. */
static inline void blank_awakening(struct buffer *sent)
{
	if (sent->len < AWAKENING_SIZE || sent->data[1] != FRAME_WAKE)
		return;
	memset(sent->data + CLOCK_AT, 0, CLOCK_SIZE);
	memset(sent->data + ENTROPY_AT, 0, ENTROPY_SIZE);
}

/* With EXIT_FLAG_DISK_FULL and 2 processes that were killed. */
static inline void add_exit(struct buffer *to, uint32_t how, uint32_t code, const char *words)
{
	uint8_t payload[EXIT_REPORT_SIZE + 2 * FRAME_TEXT_MAX];
	const struct exit_report report = {.how = how, .code = code, .flags = 1, .oom_kills = 2};
	exit_report_put(payload, &report);
	memcpy(payload + EXIT_REPORT_SIZE, words, strlen(words));
	add_frame(to, FRAME_EXIT, payload, EXIT_REPORT_SIZE + strlen(words));
}

#endif
