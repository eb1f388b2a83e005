/*
 * The directories from a folder of the host down to where a walk stands, as descriptors: nothing
 * below the folder is ever named by a path, so no symlink and no rename can lead a walk out of
 * it. However deep a tree is, few descriptors are open: those of levels far up are closed, and
 * opened again through ".." on the way back, checked to be the same directory.
 */
#ifndef LAYERVM_HOSTDIR_DIRSTACK_H
#define LAYERVM_HOSTDIR_DIRSTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "support/error.h"

struct dirlevel {
	int fd;      /* -1: closed for now */
	bool pinned; /* the level below was entered through a symlink: ".." would not lead back */
	dev_t dev;
	ino_t ino;
};

/* All zero is an empty stack. */
struct dirstack {
	struct dirlevel *levels;
	size_t count;
	size_t capacity;
};

/*
 * Adds a level. fd: of the directory, opened for reading; taken over, on errors too.
 * through_symlink: whether it is elsewhere than below the current top.
 */
int dirstack_push(struct dirstack *stack, int fd, bool through_symlink, struct error *err);

/* Takes the last level away. path: of the level that becomes the top, for messages. */
int dirstack_pop(struct dirstack *stack, const char *path, struct error *err);

/* The descriptor of the last level; it belongs to the stack. */
int dirstack_fd(const struct dirstack *stack);

/* Whether one of the levels is that directory. */
bool dirstack_holds(const struct dirstack *stack, dev_t dev, ino_t ino);

void dirstack_free(struct dirstack *stack);
#define cleanup_dirstack __attribute__((cleanup(dirstack_free)))

#endif
