#include "unpack/names.h"

#include <search.h>
#include <string.h>

#include "support/memory.h"

struct name {
	uint64_t dir;
	char text[];
};

static int compare(const void *a, const void *b)
{
	const struct name *x = a;
	const struct name *y = b;
	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	return strcmp(x->text, y->text);
}

static struct name *make(uint64_t dir, const char *text)
{
	size_t size = strlen(text) + 1;
	struct name *name = xmalloc(sizeof(*name) + size);
	name->dir = dir;
	memcpy(name->text, text, size);
	return name;
}

void names_add(struct names *names, uint64_t dir, const char *text)
{
	cleanup_free struct name *name = make(dir, text);
	struct name *const *found = tsearch(name, &names->tree, compare);
	if (found == NULL)
		abort();
	if (*found == name)
		steal_ptr(&name);
}

bool names_have(const struct names *names, uint64_t dir, const char *text)
{
	if (names->tree == NULL)
		return false;
	cleanup_free struct name *name = make(dir, text);
	return tfind(name, &names->tree, compare) != NULL;
}

void names_clear(struct names *names)
{
	tdestroy(names->tree, free);
	names->tree = NULL;
}
