#include "support/reference.h"

#include <string.h>

#include "support/memory.h"

#define DEFAULT_REGISTRY "docker.io"

const char *reference_tag(const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *colon = strrchr(name, ':');
	if (colon == NULL || (slash != NULL && colon < slash))
		return NULL;
	return colon + 1;
}

const char *reference_split(const char *text, char **name)
{
	const char *tag = reference_tag(text);
	*name = tag == NULL ? xstrdup(text) : xstrndup(text, (size_t)(tag - 1 - text));
	return tag;
}

/* Whether the part before the first '/' is a registry rather than a folder of the default one. */
static bool is_registry(const char *name, size_t len)
{
	return memchr(name, '.', len) != NULL || memchr(name, ':', len) != NULL ||
	       (len == strlen("localhost") && memcmp(name, "localhost", len) == 0);
}

char *reference_normalise(const char *name)
{
	const char *tag = reference_tag(name) == NULL && strchr(name, '@') == NULL ? ":latest" : "";
	const char *slash = strchr(name, '/');
	const char *rest = name;
	cleanup_free char *registry = NULL;
	if (slash != NULL && is_registry(name, (size_t)(slash - name))) {
		registry = xstrndup(name, (size_t)(slash - name));
		rest = slash + 1;
	}
	/* "index.docker.io" is what Docker called its registry first. */
	bool is_default = registry == NULL || strcmp(registry, DEFAULT_REGISTRY) == 0 ||
			  strcmp(registry, "index." DEFAULT_REGISTRY) == 0;
	return xasprintf("%s/%s%s%s", is_default ? DEFAULT_REGISTRY : registry,
		is_default && strchr(rest, '/') == NULL ? "library/" : "", rest, tag);
}

bool reference_equal(const char *a, const char *b)
{
	cleanup_free char *x = reference_normalise(a);
	cleanup_free char *y = reference_normalise(b);
	return strcmp(x, y) == 0;
}
