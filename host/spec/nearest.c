#include "spec/nearest.h"

#include <ctype.h>
#include <string.h>

#define WORD_MAX 64

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int fold(char c)
{
	return tolower((unsigned char)c);
}

/*
 * Insertions, deletions, replacements and swaps of neighbours that make one word of the other
 * (optimal string alignment distance), upper and lower case taken as equal.
 */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][WORD_MAX + 1]; /* of a's prefixes: two ago, one ago, this one */
	size_t *older = rows[0], *old = rows[1], *now = rows[2];
	for (size_t j = 0; j <= b_len; j++)
		now[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *spare = older;
		older = old;
		old = now;
		now = spare;
		now[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t change = old[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
			now[j] = min(change, min(old[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
				fold(a[i - 2]) == fold(b[j - 1]))
				now[j] = min(now[j], older[j - 2] + 1);
		}
	}
	return now[b_len];
}

struct nearest nearest_start(const char *word)
{
	/* A third of the letters may be wrong, in short words two. */
	size_t allowed = strlen(word) / 3;
	return (struct nearest){.word = word, .distance = (allowed < 2 ? 2 : allowed) + 1};
}

void nearest_try(struct nearest *nearest, const char *known)
{
	size_t len = strlen(nearest->word), known_len = strlen(known);
	if (len > WORD_MAX || known_len > WORD_MAX)
		return;
	size_t d = distance(nearest->word, len, known, known_len);
	/* Words with no letter in common are not near, however short. */
	if (d < nearest->distance && d < (len > known_len ? len : known_len)) {
		nearest->best = known;
		nearest->distance = d;
	}
}
