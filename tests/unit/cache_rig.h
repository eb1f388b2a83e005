/* A cache folder of a test's own, as cmocka's setup and teardown. */
#ifndef LAYERVM_TESTS_CACHE_RIG_H
#define LAYERVM_TESTS_CACHE_RIG_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/cache.h"

static char folder[] = "/tmp/layervm-cache-XXXXXX";

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Without limits but the built-in ones. */
static inline int make_folder(void **state)
{
	(void)state;
	unsetenv("LAYERVM_CACHE_MAX_SIZE");
	unsetenv("LAYERVM_CACHE_MIN_FREE");
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	return mkdtemp(folder) == NULL ? -1 : setenv("LAYERVM_CACHE_DIR", folder, 1);
}

static inline int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct cache *open_cache(void)
{
	struct error err = {0};
	struct cache *cache = NULL;
	if (cache_open(&cache, &err) < 0)
		fail_msg("%s", err.message);
	return cache;
}

#endif
