/* A set of names in directories: a directory by its inode number, and a name in it. */
#ifndef GUEST_INIT_UNPACK_NAMES_H
#define GUEST_INIT_UNPACK_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/* All zero is an empty set. */
struct names {
	void *tree; /* of tsearch(3) */
};

void names_add(struct names *names, uint64_t dir, const char *text);
bool names_have(const struct names *names, uint64_t dir, const char *text);

/* Makes the set empty and frees what it took. */
void names_clear(struct names *names);

#endif
