/*
 * A stand-in for the guest, for tests without a VM: changes a raw ext4 file through libext2fs as
 * a kernel would (times of directories included), and reads it back whole by another way than
 * disk_reread. Any failure ends the test.
 */
#ifndef LAYERVM_TESTS_DISK_GUEST_H
#define LAYERVM_TESTS_DISK_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include "random_tree.h"
#include "tree/tree.h"

struct guest;

/* Opens the file system in a file. Paths below are absolute. */
struct guest *guest_open(const char *file);
void guest_close(struct guest *guest);

/* The inode number of a path; 0: there is no such name. */
uint32_t guest_lookup(struct guest *guest, const char *path);

/* Makes a new name. mode: type and permissions. device: of character and block devices. */
void guest_make(struct guest *guest, const char *path, uint32_t mode, uint32_t device);
void guest_symlink(struct guest *guest, const char *path, const char *target);
void guest_link(struct guest *guest, const char *from, const char *to);
/* Removes a name, with all below it. */
void guest_remove(struct guest *guest, const char *path);
/* What had the new name goes. */
void guest_rename(struct guest *guest, const char *from, const char *to);

void guest_write(
	struct guest *guest, const char *path, uint64_t offset, const void *data, size_t len);
void guest_truncate(struct guest *guest, const char *path, uint64_t size);
/* Blocks without data from the file's beginning; its size becomes one byte less. */
void guest_preallocate(struct guest *guest, const char *path, uint64_t blocks);
void guest_chmod(struct guest *guest, const char *path, uint32_t permissions);
void guest_chown(struct guest *guest, const char *path, uint32_t uid, uint32_t gid);
/* Sets atime and ctime alone. */
void guest_read_times(struct guest *guest, const char *path);
/* value NULL: takes the attribute away. */
void guest_xattr(
	struct guest *guest, const char *path, const char *name, const void *value, size_t len);

/* Random changes of all these kinds. */
void guest_random(struct guest *guest, struct random *random, unsigned steps);

/* The whole file system in a file as a new tree, with inode numbers. */
struct tree *guest_tree(const char *file);

#endif
