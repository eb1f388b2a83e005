/* What is known about files of the host, by their identity: device and inode number. */
#ifndef LAYERVM_HOSTDIR_IDMAP_H
#define LAYERVM_HOSTDIR_IDMAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct idmap_slot {
	uint64_t dev;
	uint64_t ino;
	void *value; /* NULL: a free slot */
};

/* All zero is an empty map. */
struct idmap {
	struct idmap_slot *slots;
	size_t count;
	size_t capacity; /* 0 or a power of two */
};

/* The value for a file, or NULL. st: with STATX_INO. */
void *idmap_get(const struct idmap *map, const struct statx *st);

/* Sets the value for a file. value: not NULL; stays the caller's. */
void idmap_put(struct idmap *map, const struct statx *st, void *value);

void idmap_free(struct idmap *map);
#define cleanup_idmap __attribute__((cleanup(idmap_free)))

#endif
