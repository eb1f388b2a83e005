/*
 * The base that a build starts from: its image, and its tree, with the disk that was made of it
 * once, where the user's cache has them. Takes an image that is loaded; gives the tree, and takes
 * care that nothing that was not verified is used for longer than the guest runs.
 */
#ifndef LAYERVM_COMMANDS_BUILD_BASE_H
#define LAYERVM_COMMANDS_BUILD_BASE_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/cache.h"
#include "commands/base_cache.h"
#include "image/image.h"
#include "support/error.h"
#include "support/memory.h"
#include "support/report.h"
#include "tree/tree.h"

/* BUILD_BASE_NONE holds nothing. */
struct build_base {
	struct image *image;       /* somebody else's, who frees it later */
	const struct cache *cache; /* likewise; NULL: none is used */
	struct report *report;
	enum base_check check; /* BASE_CHECK_BYTES: all is read, though it is known */
	bool is_known;         /* by its file, or verified: its bytes need not be read */
	bool has_id;           /* id stands; without it there is nothing in the cache */
	struct base_id id;     /* room, file_size: the caller's */
	struct tree *tree;     /* until build_base_tree gives it away */
	int disk;              /* of that tree, for reading only; -1: there is none in the cache */
	struct cache_claim claim; /* the right to make that disk */
};
#define BUILD_BASE_NONE ((struct build_base){.disk = -1, .claim = CACHE_CLAIM_NONE})

/*
 * Looks the image, which was loaded with `later`, up in the cache, and its disk. Where the disk is
 * wanted, room and file_size say which; room 0: it is not, and neither is the tree; it may be
 * wanted by another call. What is wrong with the cache is told in a line, and is no failure; an
 * interrupt is.
 */
int build_base_find(struct build_base *base, uint64_t room, uint64_t file_size, struct error *err);

/*
 * Before a disk that is not in the cache is made there: where another run makes it already, waits
 * for it, and looks up once more what it may have found out and left.
 */
int build_base_claim(struct build_base *base, struct error *err);

/*
 * The base's tree, which the caller frees: the one from the cache, or merged from the layers, whose
 * bytes may still be being verified then. It is frozen. Where it is from the cache it has the
 * DENTRY_SCAFFOLD names of its disk; tree_revert takes them away.
 */
int build_base_tree(struct build_base *base, struct tree **out, struct error *err);

/*
 * Waits until all of the image's bytes are known to be right: before anything is kept or given out
 * that was made of them. Remembers the image, so that it is known the next time.
 */
int build_base_verify(struct build_base *base, struct error *err);

static inline void build_base_close(struct build_base *base)
{
	tree_free(base->tree);
	cleanup_close_fn(&base->disk);
	cache_claim_release(&base->claim);
}
#define cleanup_build_base __attribute__((cleanup(build_base_close)))

#endif
