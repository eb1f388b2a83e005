#include "vm/ring.h"

#include <string.h>

#include "support/buffer.h"
#include "support/memory.h"

#define LINE_MAX_BYTES 200

void ring_add(struct ring *ring, const void *data, size_t len)
{
	const char *p = data;
	if (len > RING_SIZE) {
		p += len - RING_SIZE;
		len = RING_SIZE;
	}
	size_t end = (ring->start + ring->len) % RING_SIZE;
	size_t first = len < RING_SIZE - end ? len : RING_SIZE - end;
	if (len != 0) {
		memcpy(ring->bytes + end, p, first);
		memcpy(ring->bytes, p + first, len - first);
	}
	ring->len += len;
	if (ring->len > RING_SIZE) {
		ring->start = (ring->start + ring->len - RING_SIZE) % RING_SIZE;
		ring->len = RING_SIZE;
	}
}

/* The length of the escape sequence (ECMA-48, 5.4) at text, 0 where there is none. */
static size_t escape_length(const char *text, size_t len)
{
	size_t n = 1;
	if (text[0] != '\033')
		return 0;
	if (len < 2 || text[1] != '[')
		return len < 2 ? 1 : 2;
	for (n = 2; n < len && (text[n] < 0x40 || text[n] > 0x7e); n++)
		;
	return n < len ? n + 1 : n;
}

/* The ring's text with harmless bytes only, lines ended by '\n', none of them empty. */
static void clean(const struct ring *ring, struct buffer *out)
{
	cleanup_free char *text = xmalloc(ring->len);
	for (size_t i = 0; i < ring->len; i++)
		text[i] = ring->bytes[(ring->start + i) % RING_SIZE];
	size_t column = 0;
	for (size_t i = 0; i < ring->len; i++) {
		size_t escape = escape_length(text + i, ring->len - i);
		unsigned char c = (unsigned char)text[i];
		if (escape != 0) {
			i += escape - 1;
		} else if (c == '\n') {
			if (column != 0)
				buffer_add(out, "\n", 1);
			column = 0;
		} else if (c != '\r') {
			if (column++ < LINE_MAX_BYTES)
				buffer_add(out, c >= 0x20 && c < 0x7f ? (char *)&c : "?", 1);
		}
	}
	if (column != 0)
		buffer_add(out, "\n", 1);
}

char *ring_tail(const struct ring *ring, size_t lines)
{
	cleanup_buffer struct buffer text = {0};
	clean(ring, &text);
	size_t start = text.len;
	size_t found = 0;
	while (start > 0) {
		if (text.data[start - 1] == '\n' && found++ == lines)
			break;
		start--;
	}
	buffer_consume(&text, start);
	return buffer_steal_text(&text);
}

char *ring_find(const struct ring *ring, const char *words)
{
	cleanup_buffer struct buffer text = {0};
	clean(ring, &text);
	cleanup_free char *all = buffer_steal_text(&text);
	char *last = NULL;
	for (char *p = all; (p = strstr(p, words)) != NULL; p++)
		last = p;
	return last != NULL ? xstrndup(last, strcspn(last, "\n")) : NULL;
}
