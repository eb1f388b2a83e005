/* Random trees and random changes to them, from a seed that is printed. */
#ifndef LAYERVM_TESTS_RANDOM_TREE_H
#define LAYERVM_TESTS_RANDOM_TREE_H

#include <stdint.h>

#include "tree/tree.h"

struct random {
	uint64_t state;
};

/* The seed in $LAYERVM_TEST_SEED, or one from the clock; printed to standard output. */
uint64_t random_seed(void);

/* The next number, 0 to limit - 1 (splitmix64). */
uint32_t random_below(struct random *random, uint32_t limit);

/*
 * Makes `steps` random changes: names of all kinds come, go, are replaced, renamed, hard-linked,
 * and get other modes, owners, times, attributes and contents.
 */
void random_changes(struct random *random, struct tree *tree, unsigned steps);

#endif
