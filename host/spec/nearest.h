/* "Did you mean": the nearest of some known words. */
#ifndef LAYERVM_SPEC_NEAREST_H
#define LAYERVM_SPEC_NEAREST_H

#include <stddef.h>

struct nearest {
	const char *word; /* the word that was given */
	const char *best; /* the nearest so far; NULL: none is near */
	size_t distance;  /* of best; where best is NULL, the first that is too far */
};

/* Starts a search. Words over 64 bytes have nothing near. word: must outlive the search. */
struct nearest nearest_start(const char *word);

/* Considers a known word. Of equally near ones the first stays. known: must outlive the search. */
void nearest_try(struct nearest *nearest, const char *known);

#endif
