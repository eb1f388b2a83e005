/* Layers: those of the input (stack.h), applied one over the other. */
#include "layer/layer.h"
#include "fuzz.h"
#include "roundtrip.h"
#include "stack.h"

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
	struct stack stack = stack_split(data, size);
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
