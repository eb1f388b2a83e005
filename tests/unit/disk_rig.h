/* A tree on a disk, a guest's changes to it, and what must come back. */
#ifndef LAYERVM_TESTS_DISK_RIG_H
#define LAYERVM_TESTS_DISK_RIG_H

#include <stdint.h>

#include "support/error.h"
#include "tree/tree.h"

#include "disk_guest.h"

/*
 * A tree, its disk, and the copy of the disk that the guest changes: files in memory, which
 * others find by their names in /proc. Nothing stays behind when a test ends early.
 */
struct rig {
	struct tree *tree;
	int base_fd, after_fd;
	char base[32], after[32];
	uint64_t size;
};

/* Assembles the tree, makes it the base state, and copies the disk. The rig takes the tree. */
void rig_open(struct rig *rig, struct tree *tree);
void rig_close(struct rig *rig);
#define cleanup_rig __attribute__((cleanup(rig_close)))

/* The guest's changes as a qcow2 overlay, a little larger than the disk; a descriptor. */
int rig_overlay(const struct rig *rig);

/* disk_reread of the guest's changes. */
int rig_reread(struct rig *rig, struct error *err);

/* rig_reread, after which the tree must be what another reader finds on the disk. */
void rig_check(struct rig *rig);

/* A file of any kind, without content, at an absolute path. */
struct inode *rig_add(struct tree *tree, const char *path, uint32_t mode);

/* A small root file system with something of every kind. */
struct tree *rig_tree(void);

/* A POSIX ACL in the kernel's form. */
#define RIG_ACL_SIZE 44
extern const uint8_t rig_acl[RIG_ACL_SIZE];

#endif
