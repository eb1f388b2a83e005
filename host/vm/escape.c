#include "vm/escape.h"

/* Whether the key is the last one of the row that leaves. */
static bool count_key(struct escape *escape, uint8_t byte, int64_t now)
{
	if (byte != ESCAPE_KEY) {
		escape->keys = 0;
		return false;
	}
	if (escape->keys == 2 && now - escape->times[0] <= ESCAPE_KEY_MS)
		return true;
	if (escape->keys == 2)
		escape->times[0] = escape->times[1];
	else
		escape->keys++;
	escape->times[escape->keys - 1] = now;
	return false;
}

/* Whether the byte, after a `~` that was held back, leaves. */
static bool end_tilde(struct escape *escape, uint8_t byte, struct buffer *out)
{
	escape->tilde = false;
	escape->within_line = true;
	if (byte == '.')
		return true;
	buffer_add(out, "~", 1);
	return false;
}

bool escape_filter(
	struct escape *escape, const uint8_t *data, size_t len, int64_t now, struct buffer *out)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = data[i];
		bool doubled = escape->tilde && byte == '~';
		if (count_key(escape, byte, now))
			return true;
		if (escape->tilde && end_tilde(escape, byte, out))
			return true;
		if (doubled)
			continue;
		if (byte == '~' && !escape->within_line) {
			escape->tilde = true;
			continue;
		}
		escape->within_line = byte != '\r' && byte != '\n';
		buffer_add(out, &byte, 1);
	}
	return false;
}
