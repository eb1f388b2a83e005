#include "cache/limits.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "support/size.h"

#define GIB (UINT64_C(1) << 30)

#define MAX_SIZE (10 * GIB)
#define MAX_SIZE_PART 10
#define MIN_FREE GIB
#define MIN_FREE_PART 20

static uint64_t space_of(const struct statvfs *fs, uint64_t blocks)
{
	uint64_t bytes;
	return __builtin_mul_overflow(blocks, (uint64_t)fs->f_frsize, &bytes) ? UINT64_MAX : bytes;
}

uint64_t cache_free_space(int folder)
{
	struct statvfs fs;
	return fstatvfs(folder, &fs) < 0 ? UINT64_MAX : space_of(&fs, fs.f_bavail);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Puts the size that a variable has, if any, in the place of the default. */
static int take_variable(const char *name, uint64_t *bytes, struct error *err)
{
	const char *text = getenv(name);
	uint64_t mebibytes;
	if (text == NULL || *text == '\0')
		return 0;
	if (size_parse_mebibytes(text, &mebibytes) && mebibytes <= SIZE_MEBIBYTES_MAX) {
		*bytes = mebibytes << 20;
		return 0;
	}
	return error_set(err, ERROR_USAGE, EINVAL,
		"%s is \"%s\", a number of MiB, or with M, G or T after it, is wanted", name, text);
}

int cache_limits_find(int folder, struct cache_limits *limits, struct error *err)
{
	struct statvfs fs;
	if (fstatvfs(folder, &fs) < 0)
		return error_set_errno(
			err, ERROR_OUTPUT, "cannot find out the size of the cache's file system");
	uint64_t whole = space_of(&fs, fs.f_blocks);
	*limits = (struct cache_limits){
		.max_size = less(MAX_SIZE, whole / MAX_SIZE_PART),
		.min_free = less(MIN_FREE, whole / MIN_FREE_PART),
	};
	int r = take_variable("LAYERVM_CACHE_MAX_SIZE", &limits->max_size, err);
	return r < 0 ? r : take_variable("LAYERVM_CACHE_MIN_FREE", &limits->min_free, err);
}
