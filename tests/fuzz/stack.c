#include "stack.h"

#include <string.h>

#include "support/ustar.h"

/* Bytes of the first tar, its end included. */
static size_t first_size(const uint8_t *data, size_t size)
{
	static const uint8_t end[2 * TAR_BLOCK];
	for (size_t at = 0; at + sizeof(end) <= size; at += TAR_BLOCK) {
		if (memcmp(data + at, end, sizeof(end)) == 0)
			return at + sizeof(end);
	}
	return size;
}

struct stack stack_split(const uint8_t *data, size_t size)
{
	struct stack stack = {0};
	while (size != 0 && stack.count < LAYERS_MAX) {
		size_t n = stack.count == LAYERS_MAX - 1 ? size : first_size(data, size);
		stack.layers[stack.count] = data;
		stack.sizes[stack.count++] = n;
		data += n;
		size -= n;
	}
	return stack;
}
