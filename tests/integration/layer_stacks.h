/* Stacks of layers made by hand or at random, as images that no archive holds. */
#ifndef TESTS_INTEGRATION_LAYER_STACKS_H
#define TESTS_INTEGRATION_LAYER_STACKS_H

#include <stddef.h>
#include <stdint.h>

#include "image/image.h"
#include "support/buffer.h"
#include "support/error.h"
#include "tree/tree.h"

#define STACK_LAYERS_MAX 8

struct stack {
	struct buffer tars[STACK_LAYERS_MAX]; /* without their ends */
	size_t count;
	struct image_layer layers[STACK_LAYERS_MAX];
	struct image image; /* after stack_finish */
};

/* An entry of a layer; a path that ends with '/' is a directory's. */
struct stack_entry {
	const char *path;
	char type; /* typeflag; 'O': none, but end the layer and begin the next one */
	uint32_t mode, uid, gid;
	int64_t sec;
	uint32_t nsec;
	const char *text; /* content or target */
	uint32_t major, minor;
	const char *xattr; /* "NAME=VALUE", or NULL */
	size_t xattr_len;  /* of the value; 0: it is text */
};

/* Adds an entry to the highest layer. */
void stack_add(struct stack *stack, const struct stack_entry *entry);

/* Begins a layer. */
void stack_begin_layer(struct stack *stack);

/* A stack of everything that an image can hold, and of every way in which a layer changes it. */
void stack_of_everything(struct stack *stack);

/* A random stack, which layer_apply takes. */
void stack_of_random(struct stack *stack, uint64_t seed, size_t entries);

/* Ends the layers' tars and makes the image: the layers plain, gzip and zstd in turn. */
void stack_finish(struct stack *stack);
void stack_free(struct stack *stack);
#define cleanup_stack __attribute__((cleanup(stack_free)))

/* Applies the layers, as far as they came, by layer_apply. */
int stack_apply(const struct stack *stack, struct tree *tree, struct error *err);

#endif
