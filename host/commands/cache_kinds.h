/* The kinds of entries that the commands keep in the cache, each with what makes it sure of one. */
#ifndef LAYERVM_COMMANDS_CACHE_KINDS_H
#define LAYERVM_COMMANDS_CACHE_KINDS_H

#include "support/digest.h"
#include "support/error.h"

struct cache_kind {
	const char *name;
	/*
	 * Reads an entry, open for reading, and compares it with the digest that it carries, or
	 * that its key is. Damage is an ERROR_INPUT. NULL: nothing says what its bytes should be.
	 */
	int (*verify)(int fd, const struct digest *key, struct error *err);
	const char *why; /* where verify is NULL: why that is so */
};

/* The kind of a name; NULL: this layervm makes none of that name. */
const struct cache_kind *cache_kind_find(const char *name);

#endif
