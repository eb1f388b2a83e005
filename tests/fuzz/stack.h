/* Inputs that are layers: up to four tars, one after the other, each with its end of two blocks of
 * zeros. */
#ifndef LAYERVM_TESTS_FUZZ_STACK_H
#define LAYERVM_TESTS_FUZZ_STACK_H

#include <stddef.h>
#include <stdint.h>

#define LAYERS_MAX 4

struct stack {
	const uint8_t *layers[LAYERS_MAX];
	size_t sizes[LAYERS_MAX];
	size_t count;
};

/* The layers of an input, lowest first. */
struct stack stack_split(const uint8_t *data, size_t size);

#endif
