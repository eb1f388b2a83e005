/* The names of a directory on a disk, through libext2fs. */
#ifndef LAYERVM_TESTS_DISK_NAMES_H
#define LAYERVM_TESTS_DISK_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include <ext2fs/ext2fs.h>

#include "support/buffer.h"
#include "tree/tree.h"

/* Ends the test where a call of libext2fs fails. */
#define check(call)                                                                                \
	do {                                                                                       \
		errcode_t code_ = (call);                                                          \
		if (code_ != 0)                                                                    \
			fail_msg("%s: error %ld", #call, (long)code_);                             \
	} while (0)

/* All names but "." and "..", each as an inode number and a NUL-terminated text. */
void disk_names(ext2_filsys fs, uint32_t dir, struct buffer *names);

/* Takes the next one from the list; false: there is none. */
bool disk_next_name(struct buffer *names, uint32_t *ino, char name[TREE_NAME_MAX + 1]);

#endif
