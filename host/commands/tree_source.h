/*
 * A root file system as a tree, wherever it is: an image of any kind merged here or by the guest,
 * or the disk of a virtual machine. What `export` and `diff` read.
 */
#ifndef LAYERVM_COMMANDS_TREE_SOURCE_H
#define LAYERVM_COMMANDS_TREE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"
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
	const struct cache *cache;        /* what knows archives that were read before, or NULL */
	bool verify;                      /* read all of it, though it is known */
	bool reads_forward; /* files are read as tree/forward.h has it, or not at all */
	struct report *report;
};

/*
 * The user's cache, which the caller frees; NULL where there is none. It only saves time here, and
 * little enough that its lack is not worth a line.
 */
struct cache *tree_source_cache(void);

/*
 * Fills a tree with nothing but its root (tree_new, or emptied by tree_source_clear). The digests
 * of the image's layers may still be computed when it returns: *to_verify is the caller's to give
 * to tree_source_finish and to free then; NULL: there is nothing to verify. known: as for
 * base_tree_merge. Fails with ERROR_USAGE where flags for a disk are given and it is none, or the
 * other way round; with the errors of the stage that reads.
 */
int tree_source_begin(const struct tree_source *source, struct tree *tree,
	struct base_layers *known, struct image **to_verify, struct error *err);

/*
 * Waits for the digests of such an image, and remembers it in the cache. Until it returned 0, what
 * was read may not be what the image's config names, which no output may show. image: NULL is
 * allowed.
 */
int tree_source_finish(const struct tree_source *source, struct image *image, struct error *err);

/* Makes the current state that of a new tree, for a second source after tree_freeze. */
void tree_source_clear(struct tree *tree);

#endif
