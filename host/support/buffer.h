/* Bytes that grow and carry their length. */
#ifndef LAYERVM_SUPPORT_BUFFER_H
#define LAYERVM_SUPPORT_BUFFER_H

#include <stddef.h>
#include <stdint.h>

/* All zero is an empty buffer. data is NULL while nothing was added. */
struct buffer {
	uint8_t *data;
	size_t len;
	size_t capacity;
};

/* Makes room for len more bytes and returns where they start; the buffer's len is unchanged. */
void *buffer_reserve(struct buffer *buffer, size_t len) __attribute__((returns_nonnull));

/* Adds bytes, a NUL-terminated text without its NUL, or a formatted text, at the end. */
void buffer_add(struct buffer *buffer, const void *data, size_t len);
void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Removes len bytes (at most all of them) from the front. */
void buffer_consume(struct buffer *buffer, size_t len);

/* Gives the bytes as a NUL-terminated string that the caller frees; the buffer becomes empty. */
char *buffer_steal_text(struct buffer *buffer) __attribute__((returns_nonnull));

/* Frees what the buffer holds and makes it empty. */
void buffer_free(struct buffer *buffer);
#define cleanup_buffer __attribute__((cleanup(buffer_free)))

#endif
