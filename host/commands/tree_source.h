/*
 * A root file system as a tree, wherever it is: an image of any kind merged here or by the guest,
 * or the disk of a virtual machine. What `export` and `diff` read.
 */
#ifndef LAYERVM_COMMANDS_TREE_SOURCE_H
#define LAYERVM_COMMANDS_TREE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "commands/base_tree.h"
#include "commands/flag_fields.h"
#include "support/error.h"
#include "support/report.h"
#include "tree/tree.h"
#include "vm/vm.h"

/* How the layers are merged, where the guest does it. */
struct guest_choice {
	bool use;           /* let the guest do it */
	uint32_t memory;    /* MiB */
	uint32_t disk_size; /* MiB beyond what the layers ask for */
	enum vm_accel accel;
};

struct tree_source {
	const char *path; /* "-": standard input, which is no disk */
	const struct image_choice *image;
	const struct guest_choice *guest; /* NULL: not by the guest */
	const char *root;                 /* device of a disk's root file system; NULL: found */
	struct report *report;
};

/*
 * Fills a tree with nothing but its root (tree_new, or emptied by tree_source_clear). known: as
 * for base_tree_merge. Fails with ERROR_USAGE where flags for a disk are given and it is none, or
 * the other way round; with the errors of the stage that reads.
 */
int tree_source_read(const struct tree_source *source, struct tree *tree, struct base_layers *known,
	struct error *err);

/*
 * As tree_source_read, but the digests of the image's layers may still be computed when it
 * returns: *out is the caller's to image_verify and to free then, else NULL.
 */
int tree_source_begin(
	const struct tree_source *source, struct tree *tree, struct image **out, struct error *err);

/* Makes the current state that of a new tree, for a second source after tree_freeze. */
void tree_source_clear(struct tree *tree);

#endif
