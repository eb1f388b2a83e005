/*
 * Layers: the input is up to four tars, one after the other, each with its end of two blocks of
 * zeros, applied one over the other.
 */
#include <string.h>

#include "fuzz.h"
#include "layer/layer.h"
#include "roundtrip.h"
#include "support/ustar.h"

#define LAYERS_MAX 4

struct stack {
	const uint8_t *layers[LAYERS_MAX];
	size_t sizes[LAYERS_MAX];
	size_t count;
};

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

static struct stack split(const uint8_t *data, size_t size)
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

static bool apply(struct tree *tree, const struct stack *stack, size_t i)
{
	struct error err = fuzz_error();
	struct source *source = source_from_bytes(stack->layers[i], stack->sizes[i]);
	return fuzz_ok(layer_apply(tree, source, stack->sizes[i], "layer", &err), &err);
}

/* The state below the top layer. */
static bool apply_lower(struct tree *tree, const struct stack *stack)
{
	for (size_t i = 0; i + 1 < stack->count; i++) {
		if (!apply(tree, stack, i))
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stack stack = split(data, size);
	cleanup_tree struct tree *tree = tree_new();
	cleanup_tree struct tree *base = tree_new();
	if (stack.count == 0 || !apply_lower(tree, &stack))
		return 0;
	tree_freeze(tree);
	if (!apply(tree, &stack, stack.count - 1) || !roundtrip_is_small(tree))
		return 0;
	roundtrip_whole(tree);
	if (!apply_lower(base, &stack))
		fuzz_broken("layers were applied once, but not a second time");
	roundtrip_changes(tree, base);
	return 0;
}
