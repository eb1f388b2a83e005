#include "commands/build_base.h"

#include "commands/base_tree.h"
#include "commands/known_image.h"

/* The cache only saves time: the build goes on without what is wrong with it. */
static int tell(const struct build_base *base, int r, struct error *err)
{
	if (r >= 0 || err->kind == ERROR_INTERRUPTED)
		return r;
	report_note(base->report, "cache: %s", err->message);
	return 0;
}

/* A root file system has no diff ID before its bytes were read. */
static bool has_chain(const struct build_base *base)
{
	return base->image->layer_count != 0 && (base->is_known || !base->image->from_rootfs);
}

int build_base_find(struct build_base *base, uint64_t room, uint64_t file_size, struct error *err)
{
	if (base->cache == NULL)
		return 0;
	int r = base->is_known ? 1
			       : tell(base, known_image_find(base->cache, base->image, err), err);
	if (r < 0)
		return r;
	base->is_known = r > 0;
	if (room == 0 || !has_chain(base))
		return 0;
	base->has_id = true;
	base->id = (struct base_id){
		.chain = image_chain_id(base->image, base->image->layer_count),
		.room = room,
		.file_size = file_size,
	};
	r = base_cache_find(base->cache, &base->id, BASE_CHECK_IDENTITY, base->report, &base->tree,
		&base->disk, err);
	r = tell(base, r, err);
	return r < 0 ? r : 0;
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
