/*
 * Layers: those of the input (stack.h), applied one over the other, from bytes at hand and from
 * feeds that give them in order: both make the same tree.
 */
#include "layer/layer.h"
#include "fuzz.h"
#include "roundtrip.h"
#include "stack.h"
#include "tree/forward.h"

/* Feeds give pieces that end within headers and files. */
#define PIECE 1000u

struct bytes_feed {
	struct feed base;
	const uint8_t *data;
	size_t size, at;
};

static int next(struct feed *feed, const uint8_t **data, size_t *len, struct error *err)
{
	struct bytes_feed *bytes = (struct bytes_feed *)feed;
	size_t left = bytes->size - bytes->at;
	(void)err;
	*data = bytes->data + bytes->at;
	*len = left < PIECE ? left : PIECE;
	bytes->at += *len;
	return 0;
}

static void rewind_feed(struct feed *feed)
{
	((struct bytes_feed *)feed)->at = 0;
}

static void free_feed(struct feed *feed)
{
	free(feed);
}

static int apply_bytes(struct tree *tree, const struct stack *stack, size_t i, struct error *err)
{
	struct source *source = source_from_bytes(stack->layers[i], stack->sizes[i]);
	return layer_apply(tree, source, stack->sizes[i], "layer", err);
}

static int apply_fed(struct tree *tree, const struct stack *stack, size_t i, struct error *err)
{
	struct bytes_feed *feed = xmalloc(sizeof(*feed));
	*feed = (struct bytes_feed){
		.base = {.next = next, .rewind = rewind_feed, .free = free_feed},
		.data = stack->layers[i],
		.size = stack->sizes[i],
	};
	struct source *source = source_forward(&feed->base, "layer");
	return layer_apply_feed(tree, &feed->base, source, "layer", err);
}

static bool apply(struct tree *tree, const struct stack *stack, size_t i)
{
	struct error err = fuzz_error();
	return fuzz_ok(apply_bytes(tree, stack, i, &err), &err);
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

/* Both ways take the same layers, and make the same tree of them. */
static void both_ways(const struct stack *stack)
{
	cleanup_tree struct tree *tree = tree_new();
	cleanup_tree struct tree *fed = tree_new();
	for (size_t i = 0; i < stack->count; i++) {
		struct error err = fuzz_error();
		struct error fed_err = fuzz_error();
		int r = apply_bytes(tree, stack, i, &err);
		int fed_r = apply_fed(fed, stack, i, &fed_err);
		if ((r < 0) != (fed_r < 0))
			fuzz_broken("one way gives %d (%s), the other %d (%s)", r, err.message,
				fed_r, fed_err.message);
		if (r < 0)
			return;
	}
	if (!roundtrip_is_small(tree))
		return;
	forward_expect(fed);
	roundtrip_same(fed, tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stack stack = stack_split(data, size);
	cleanup_tree struct tree *tree = tree_new();
	cleanup_tree struct tree *base = tree_new();
	both_ways(&stack);
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
