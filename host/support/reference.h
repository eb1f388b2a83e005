/* Image names: "repo:tag" as people write it and in the full form that Docker gives it. */
#ifndef LAYERVM_SUPPORT_REFERENCE_H
#define LAYERVM_SUPPORT_REFERENCE_H

#include <stdbool.h>

/*
 * The full form of a name: with its registry ("docker.io" and there "library/" by default) and
 * its tag ("latest" by default), as the distribution reference grammar has it. The caller frees
 * it.
 */
char *reference_normalise(const char *name) __attribute__((returns_nonnull));

/* Whether the two name the same image. */
bool reference_equal(const char *a, const char *b);

/* Where the tag begins: behind the last ':' after the last '/'; NULL where there is none. */
const char *reference_tag(const char *name);

/*
 * Splits "name:tag". *name: the part before the tag, or all of it; the caller frees it. Returns
 * the tag as reference_tag does.
 */
const char *reference_split(const char *text, char **name);

#endif
