/* The cache's own folder and those of the kinds in it: found, made, and checked for their owner. */
#ifndef LAYERVM_CACHE_CACHE_FOLDER_H
#define LAYERVM_CACHE_CACHE_FOLDER_H

#include "support/error.h"

/* Of the name of a kind, with its NUL. */
#define CACHE_KIND_SIZE 32

/* Where the cache is to be (cache_open); NULL: nothing says it. The caller frees it. */
char *cache_folder_choose(void);

/*
 * Opens the cache's folder, which is made where it is missing. Returns the descriptor; fails with
 * ERROR_OUTPUT where it is another user's or open to others' writing.
 */
int cache_folder_open(const char *path, struct error *err);

/*
 * Opens the folder of a kind in the cache's. Returns the descriptor, or an error as
 * cache_folder_open; -ENOENT, with an error, where there is none. path: of the cache, for messages.
 */
int cache_folder_open_kind(int cache, const char *path, const char *kind, struct error *err);

/* As cache_folder_open_kind; makes it where it is missing. */
int cache_folder_make_kind(int cache, const char *path, const char *kind, struct error *err);

#endif
