#include "commands/tree_source.h"

#include <errno.h>
#include <string.h>

#include "commands/cache_note.h"
#include "commands/confined_diff.h"
#include "commands/guest_check.h"
#include "commands/guest_unpack.h"
#include "commands/known_image.h"
#include "guestfs/guestfs_read.h"
#include "guestfs/vm_disk.h"
#include "image/image.h"
#include "layer/layer.h"
#include "support/fileio.h"
#include "support/memory.h"

/*
 * Compressed bytes of layers whose tars are written to temporary files, though they could be
 * streamed: some 200 MB of tars, which is what most images have. What is streamed is inflated
 * twice, which costs a gzip layer more than writing its tar does.
 */
#define SPOOL_MAX (UINT64_C(64) << 20)

/*
 * What the guest unpacked is read back in a confined process, which makes one layer of it. No
 * state of this tree is frozen: all of the guest's is a change.
 */
static int merge_in_guest(const struct tree_source *source, const struct image *image,
	struct tree *tree, struct error *err)
{
	const struct guest_unpack_options options = {
		.report = source->report,
		.accel = source->guest->accel,
		.memory_mib = source->guest->memory,
		.cpus = 1,
		.disk_size = source->guest->disk_size,
	};
	const struct layer_options layer_options = {.keep_mtime = true};
	cleanup_tree struct tree *unpacked_tree = tree_new();
	cleanup_guest_unpacked struct guest_unpacked unpacked = GUEST_UNPACKED_NONE;
	cleanup_close int tar = file_temporary(err);
	struct changes changes;
	struct layer_info info;
	if (tar < 0)
		return tar;
	int r = guest_unpack_disk(&options, image, unpacked_tree, &unpacked, err);
	if (r < 0)
		return r;
	report_stage(source->report, "reread", "what the guest unpacked");
	const struct confined_diff what = {
		.base = unpacked.base,
		.overlay = unpacked.overlay,
		.layer = tar,
		.layer_options = &layer_options,
		.list = -1,
	};
	r = confined_diff(unpacked_tree, &what, &changes, &info, err);
	if (r < 0)
		return r;
	static const char name[] = "what the guest unpacked";
	return layer_apply(tree, source_from_fd(steal_fd(&tar), 0, name), info.size, name, err);
}

static bool in_guest(const struct tree_source *source)
{
	return source->guest != NULL && source->guest->use;
}

/* The guest is given the layers as they are. */
static enum image_tars what_tars(const struct tree_source *source)
{
	return in_guest(source)        ? IMAGE_TARS_DROPPED
	       : source->reads_forward ? IMAGE_TARS_STREAMED
				       : IMAGE_TARS_KEPT;
}

static int open_image(const struct tree_source *source, struct image **image, struct error *err)
{
	const struct image_options options = {
		.name = source->image->name,
		.tag = source->image->tag,
		.architecture = source->image->architecture,
		.variant = source->image->variant,
		.report = source->report,
		.tars = what_tars(source),
		.spool_max = SPOOL_MAX,
		.later = true,
	};
	report_stage(source->report, "read", "%s", source->path);
	return image_open(source->path, &options, image, err);
}

static int merge(const struct tree_source *source, struct image *image, struct tree *tree,
	struct base_layers *known, struct error *err)
{
	report_stage(source->report, "merge", "%zu layer%s", image->layer_count,
		image->layer_count == 1 ? "" : "s");
	/* A root file system that was not hashed cannot be the same as another. */
	return base_tree_merge(image, tree, image->from_rootfs ? NULL : known, err);
}

static int read_disk(const struct tree_source *source, struct tree *tree, struct error *err)
{
	if (in_guest(source))
		return error_set(err, ERROR_USAGE, EINVAL,
			"--vm: is for images; %s is a disk, which is read in a virtual machine in "
			"any case",
			source->path);
	if (source->image->name != NULL || source->image->architecture != NULL)
		return error_set(err, ERROR_USAGE, EINVAL, "%s: is for images; %s is a disk",
			source->image->name != NULL ? "--image" : "--platform", source->path);
	report_stage(source->report, "read", "%s, the disk of a virtual machine", source->path);
	return guestfs_disk_tree(source->path, source->root, tree, source->report, err);
}

/* Whether the source is a disk; flags that are for disks are refused with others. */
static int is_disk(const struct tree_source *source, bool *disk, struct error *err)
{
	*disk = strcmp(source->path, "-") != 0 && is_vm_disk(source->path);
	if (*disk || source->root == NULL)
		return 0;
	return error_set(err, ERROR_USAGE, EINVAL,
		"--root: is for disks of virtual machines; %s is none", source->path);
}

/*
 * Whether the image's bytes need not be hashed: there is nothing to compare a root file system's
 * digest with, and others may have been verified by an earlier run.
 */
static int is_trusted(const struct tree_source *source, struct image *image, struct error *err)
{
	if (image->from_rootfs)
		return 1;
	if (source->cache == NULL)
		return 0;
	int r = source->verify ? known_image_forget(source->cache, image, err)
			       : known_image_find(source->cache, image, err);
	return cache_note(source->report, r, err);
}

struct cache *tree_source_cache(void)
{
	struct error ignored;
	struct cache *cache = NULL;
	return cache_open(&cache, &ignored) < 0 ? NULL : cache;
}

int tree_source_begin(const struct tree_source *source, struct tree *tree,
	struct base_layers *known, struct image **to_verify, struct error *err)
{
	cleanup_image struct image *image = NULL;
	bool disk;
	*to_verify = NULL;
	int r = in_guest(source) ? guest_check(source->guest->accel, err) : 0;
	if (r == 0)
		r = is_disk(source, &disk, err);
	if (r == 0 && disk)
		return read_disk(source, tree, err);
	if (r == 0)
		r = open_image(source, &image, err);
	if (r == 0 && in_guest(source))
		r = image_verify(image, err);
	if (r != 0)
		return r;
	if (in_guest(source))
		return merge_in_guest(source, image, tree, err);
	r = is_trusted(source, image, err);
	if (r < 0)
		return r;
	bool trusted = r > 0;
	if (!trusted)
		image_verify_start(image);
	r = image_has_tars(image) ? 0 : image_verify(image, err);
	if (r == 0)
		r = merge(source, image, tree, known, err);
	if (r == 0 && !trusted)
		*to_verify = steal_ptr(&image);
	return r;
}

int tree_source_finish(const struct tree_source *source, struct image *image, struct error *err)
{
	int r = image == NULL ? 0 : image_verify(image, err);
	if (r < 0 || image == NULL || source->cache == NULL)
		return r;
	r = cache_note(source->report, known_image_put(source->cache, image, err), err);
	return r < 0 ? r : 0;
}

void tree_source_clear(struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root->children; d != NULL; d = d->next) {
		if (d->inode != NULL)
			tree_unlink(tree, d);
	}
	tree_relink(tree, root, tree_inode_new(tree, S_IFDIR | 0755));
}
