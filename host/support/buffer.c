#include "support/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "support/memory.h"

void *buffer_reserve(struct buffer *buffer, size_t len)
{
	size_t wanted;
	if (__builtin_add_overflow(buffer->len, len, &wanted))
		wanted = SIZE_MAX; /* cannot be had: xrealloc ends the program */
	if (wanted > buffer->capacity || buffer->data == NULL) {
		size_t capacity = buffer->capacity < 128 ? 128 : buffer->capacity;
		while (capacity < wanted && capacity <= SIZE_MAX / 2)
			capacity *= 2;
		if (capacity < wanted)
			capacity = wanted;
		buffer->data = xrealloc(buffer->data, capacity, 1);
		buffer->capacity = capacity;
	}
	return buffer->data + buffer->len;
}

void buffer_add(struct buffer *buffer, const void *data, size_t len)
{
	void *to = buffer_reserve(buffer, len);
	if (len != 0)
		memcpy(to, data, len);
	buffer->len += len;
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
	buffer_add(buffer, text, strlen(text));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n <= 0)
		return;
	char *to = buffer_reserve(buffer, (size_t)n + 1);
	va_start(args, format);
	vsnprintf(to, (size_t)n + 1, format, args);
	va_end(args);
	buffer->len += (size_t)n;
}

void buffer_consume(struct buffer *buffer, size_t len)
{
	if (len >= buffer->len) {
		buffer->len = 0;
		return;
	}
	memmove(buffer->data, buffer->data + len, buffer->len - len);
	buffer->len -= len;
}

char *buffer_steal_text(struct buffer *buffer)
{
	buffer_add(buffer, "", 1);
	char *text = (char *)buffer->data;
	*buffer = (struct buffer){0};
	return text;
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}
