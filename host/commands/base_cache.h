/*
 * Disks of base images in the cache folder, each with the tree that it was made of: a base that is
 * known is neither inflated nor merged nor assembled again. Takes the chain ID of an image and how
 * large the disk is to be; gives a tree and a disk, or makes them from a tree. Knows nothing of
 * archives and guests.
 */
#ifndef LAYERVM_COMMANDS_BASE_CACHE_H
#define LAYERVM_COMMANDS_BASE_CACHE_H

#include <stdint.h>

#include "cache/claim.h"
#include "support/digest.h"
#include "support/error.h"
#include "support/report.h"
#include "tree/tree.h"

/* All that the disk and the tree follow from. */
struct base_id {
	struct digest chain; /* of all layers of the image (image_chain_id) */
	uint64_t room;       /* as for disk_assemble */
	uint64_t file_size;
};

/* Where the disk of a base is, or will be. */
struct base_slot {
	const struct cache *cache;
	struct base_id id;
	int disk; /* what base_cache_find gave; -1: it is to be made */
	/* The right to make it, which its making takes over; NULL: none. */
	struct cache_claim *claim;
};

enum base_check {
	BASE_CHECK_IDENTITY, /* the disk is the file that was made; its bytes once after each boot
			      */
	BASE_CHECK_BYTES,    /* all of the disk is read and compared with its digest */
};

/*
 * Looks a base up. Returns 1 with *tree, which the caller frees, and *disk, a descriptor for
 * reading only that is the caller's; 0 where there is none; or an error of the cache folder. The
 * tree is as base_making_assemble leaves it. An entry that is damaged, or half gone, is removed,
 * with a note, and is none.
 */
int base_cache_find(const struct cache *cache, const struct base_id *id, enum base_check check,
	struct report *report, struct tree **tree, int *disk, struct error *err);

/* A disk that is being made for the cache. */
struct base_making;

/*
 * Starts one, with a file of the length file_size that is all zeros. slot: its cache must live as
 * long; its claim is released when the disk is in the cache, or cannot be any more. Errors are
 * those of the cache folder.
 */
int base_making_start(const struct base_slot *slot, struct base_making **out, struct error *err);

/* The disk for whoever reads it, opened for reading only. Belongs to the making. */
int base_making_disk(const struct base_making *making);

/*
 * Writes the disk and has the tree's files read from it afterwards (disk_options.home). The tree is
 * that of the base, frozen, and may have names with DENTRY_SCAFFOLD besides. *size: of the file
 * system. Fails as disk_assemble does: the tree's files are read from where they were then, and
 * where it is an ERROR_OUTPUT the disk can be made elsewhere. A disk that is whole, and of which
 * only the tree cannot be kept, is no failure before base_making_finish.
 */
int base_making_assemble(
	struct base_making *making, struct tree *tree, uint64_t *size, struct error *err);

/*
 * Has a thread put what was assembled into the cache. Not before the layers are known to be those
 * of the chain ID. Others may use the disk meanwhile: nothing is written to it.
 */
void base_making_publish(struct base_making *making);

/*
 * Waits for that thread, where there is one. That the entry could not be made harms no disk that is
 * in use already. After an interrupt nothing is made.
 */
int base_making_finish(struct base_making *making, struct error *err);

/* Waits as well. NULL is allowed. */
void base_making_free(struct base_making *making);
static inline void cleanup_base_making_fn(struct base_making **making)
{
	base_making_free(*making);
}
#define cleanup_base_making __attribute__((cleanup(cleanup_base_making_fn)))

#endif
