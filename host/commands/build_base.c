#include "commands/build_base.h"

#include <limits.h>

#include "commands/base_record.h"
#include "commands/base_tree.h"
#include "commands/cache_note.h"
#include "commands/cache_turn.h"
#include "commands/known_image.h"

#define MIB (UINT64_C(1) << 20)

/* Making a disk takes so many seconds, and one more for so much of the base: at the very most. */
#define MAKING_SECONDS 10u
#define MAKING_BYTES (16 * MIB)

static int tell(const struct build_base *base, int r, struct error *err)
{
	return cache_note(base->report, r, err);
}

/* A root file system has no diff ID before its bytes were read. */
static bool has_chain(const struct build_base *base)
{
	return base->image->layer_count != 0 && (base->is_known || !base->image->from_rootfs);
}

/* Whether the image is known: by its file, or because it was read. */
static int find_image(struct build_base *base, struct error *err)
{
	if (base->is_known || base->image->layer_count == 0)
		return 0;
	if (base->check == BASE_CHECK_BYTES) {
		report_stage(base->report, "verify", "%zu layer%s", base->image->layer_count,
			base->image->layer_count == 1 ? "" : "s");
		int r = tell(base, known_image_forget(base->cache, base->image, err), err);
		return r < 0 ? r : build_base_verify(base, err);
	}
	int r = tell(base, known_image_find(base->cache, base->image, err), err);
	base->is_known = r > 0;
	return r < 0 ? r : 0;
}

static int find_disk(struct build_base *base, struct error *err)
{
	int r = base_cache_find(
		base->cache, &base->id, base->check, base->report, &base->tree, &base->disk, err);
	r = tell(base, r, err);
	return r < 0 ? r : 0;
}

int build_base_find(struct build_base *base, uint64_t room, uint64_t file_size, struct error *err)
{
	if (base->cache == NULL)
		return 0;
	int r = find_image(base, err);
	if (r < 0)
		return r;
	if (room == 0 || !has_chain(base))
		return 0;
	base->has_id = true;
	base->id = (struct base_id){
		.chain = image_chain_id(base->image, base->image->layer_count),
		.room = room,
		.file_size = file_size,
	};
	return find_disk(base, err);
}

static unsigned patience(const struct image *image)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < image->layer_count; i++) {
		if (__builtin_add_overflow(bytes, image->layers[i].blob_size, &bytes))
			bytes = UINT64_MAX;
	}
	uint64_t seconds = MAKING_SECONDS + bytes / MAKING_BYTES;
	return seconds < UINT_MAX ? (unsigned)seconds : UINT_MAX;
}

int build_base_claim(struct build_base *base, struct error *err)
{
	if (!base->has_id || base->disk >= 0)
		return 0;
	const struct cache_turn turn = {
		.kind = BASE_KIND_TREE,
		.key = base_key(&base->id),
		.what = "the base's disk",
		.patience = patience(base->image),
	};
	int r = cache_turn_take(base->cache, &turn, base->report, &base->claim, err);
	if (r == 0)
		r = find_image(base, err);
	if (r == 0)
		r = find_disk(base, err);
	if (r == 0 && base->disk >= 0)
		cache_claim_release(&base->claim);
	return r;
}

int build_base_tree(struct build_base *base, struct tree **out, struct error *err)
{
	struct image *image = base->image;
	if (!base->is_known)
		image_verify_start(image);
	if (base->tree != NULL) {
		*out = steal_ptr(&base->tree);
		return 0;
	}
	cleanup_tree struct tree *tree = tree_new();
	report_stage(base->report, "merge", "%zu layer%s", image->layer_count,
		image->layer_count == 1 ? "" : "s");
	int r = image_has_tars(image) ? 0 : image_verify(image, err);
	if (r == 0)
		r = base_tree_merge(image, tree, NULL, err);
	if (r < 0)
		return r;
	tree_freeze(tree);
	*out = steal_ptr(&tree);
	return 0;
}

int build_base_verify(struct build_base *base, struct error *err)
{
	if (base->is_known)
		return 0;
	int r = image_verify(base->image, err);
	if (r < 0 || base->cache == NULL)
		return r;
	base->is_known = true;
	r = tell(base, known_image_put(base->cache, base->image, err), err);
	return r < 0 ? r : 0;
}
