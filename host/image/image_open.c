/* From a path to an image: how the source says what its images are, and who reads it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "image/image.h"
#include "image/json_safe.h"
#include "image/layers.h"
#include "image/manifests.h"
#include "image/rootfs.h"
#include "image/store.h"
#include "support/architecture.h"
#include "support/fileio.h"
#include "support/memory.h"

struct image_source {
	struct store *store;
	enum image_layout layout;
};

/* By image_layout; of a root file system there is nothing to list. */
static const struct {
	int (*plan)(struct store *store, const struct image_options *options, struct plan *plan,
		struct error *err);
	int (*list)(struct store *store, struct image_list *list, struct error *err);
} layouts[] = {
	[IMAGE_LAYOUT_DOCKER] = {docker_plan, docker_list},
	[IMAGE_LAYOUT_OCI] = {oci_plan, oci_list},
	[IMAGE_LAYOUT_DIR] = {oci_plan, oci_list},
	[IMAGE_LAYOUT_LEGACY] = {legacy_plan, legacy_list},
	[IMAGE_LAYOUT_ROOTFS] = {rootfs_plan, NULL},
};

/* Whether the archive has a member whose name begins and ends so. */
static bool has_member(const struct archive_index *index, const char *start, const char *end)
{
	size_t end_len = strlen(end);
	for (size_t i = 0; i < index->count; i++) {
		const char *name = index->members[i].name;
		size_t len = strlen(name);
		if (strncmp(name, start, strlen(start)) == 0 && len >= end_len &&
			strcmp(name + len - end_len, end) == 0)
			return true;
	}
	return false;
}

/* Some writers leave oci-layout out; many things else have an index.json. */
static bool is_oci(struct store *store)
{
	if (!store_has(store, "index.json"))
		return false;
	if (store_has(store, "oci-layout"))
		return true;
	return store->is_folder ? store_has(store, "blobs/sha256")
				: has_member(&store->index, "blobs/sha256/", "");
}

/* A root file system may have a file `repositories` as well. */
static bool is_legacy(struct store *store)
{
	if (!store_has(store, "repositories"))
		return false;
	return store->is_folder || has_member(&store->index, "", "/layer.tar");
}

/* manifest.json is docker save's list, or one manifest or index: "dir:" of containers/image. */
static int recognise_manifest(struct store *store, enum image_layout *layout, struct error *err)
{
	struct extent extent;
	char head[64];
	*layout = IMAGE_LAYOUT_DOCKER;
	int r = store_find(store, "manifest.json", &extent, err);
	if (r < 0)
		return r;
	size_t len = extent.size < sizeof(head) ? (size_t)extent.size : sizeof(head) - 1;
	r = file_read_at(extent.fd, head, len, extent.offset, store->path, err);
	if (r < 0)
		return r;
	head[len] = '\0';
	if (head[strspn(head, " \t\r\n")] != '{')
		return 0;
	*layout = IMAGE_LAYOUT_DIR;
	store->names = STORE_NAMES_FLAT;
	return 0;
}

static int recognise(struct image_source *source, struct error *err)
{
	struct store *store = source->store;
	int r = 0;
	if (store_has(store, "manifest.json"))
		r = recognise_manifest(store, &source->layout, err);
	else if (is_oci(store))
		source->layout = IMAGE_LAYOUT_OCI;
	else if (is_legacy(store))
		source->layout = IMAGE_LAYOUT_LEGACY;
	else if (store->is_folder)
		return error_set(err, ERROR_INPUT, EISDIR,
			"%s: is a folder without index.json and blobs, manifest.json or "
			"repositories; expected an image layout or an archive's file",
			store->path);
	else
		source->layout = IMAGE_LAYOUT_ROOTFS;
	if (r < 0)
		return r;
	if (source->layout != IMAGE_LAYOUT_ROOTFS && store->index.is_cut)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"%s: has more members than the limit of %u for an image archive, or names "
			"of more than %zu bytes in all",
			store->path, INDEX_MEMBERS_MAX, INDEX_NAMES_MAX);
	return 0;
}

static int open_source(
	const char *path, struct image_keep *keep, struct image_source **out, struct error *err)
{
	cleanup_image_source struct image_source *source = xcalloc(1, sizeof(*source));
	int r = store_open(path, keep, &source->store, err);
	if (r == 0)
		r = recognise(source, err);
	if (r < 0)
		return r;
	*out = steal_ptr(&source);
	return 0;
}

int image_source_open(const char *path, struct image_source **out, struct error *err)
{
	return open_source(path, NULL, out, err);
}

void image_source_free(struct image_source *source)
{
	if (source == NULL)
		return;
	store_unref(source->store);
	free(source);
}

int image_source_list(struct image_source *source, struct image_list **out, struct error *err)
{
	cleanup_image_list struct image_list *list = xcalloc(1, sizeof(*list));
	int r = 0;
	list->layout = source->layout;
	if (source->layout == IMAGE_LAYOUT_ROOTFS)
		summary_add_rootfs(list, source->store->size);
	else
		r = layouts[source->layout].list(source->store, list, err);
	if (r == 0)
		*out = steal_ptr(&list);
	return r;
}

static struct image *image_new(void)
{
	struct image *image = xcalloc(1, sizeof(*image));
	image->files = xcalloc(1, sizeof(*image->files));
	return image;
}

struct image *image_scratch(void)
{
	struct image *image = image_new();
	image->config = json_object_new_object();
	return image;
}

void image_free(struct image *image)
{
	if (image == NULL)
		return;
	image_files_free(image->files);
	json_object_put(image->config);
	free(image->layers);
	free(image->name);
	free(image);
}

static int check_os(const struct plan *plan, const char *path, struct error *err)
{
	const char *os = plan_platform(plan, "os");
	if (os == NULL || strcmp(os, "linux") == 0)
		return 0;
	return error_set(err, ERROR_INPUT, EINVAL,
		"%s: image config: os: expected \"linux\", found \"%s\"", path, os);
}

/* As docker pull does: taken, with a word. */
static void warn_platform(
	const struct plan *plan, const struct image_options *options, const char *path)
{
	const char *found = plan_platform(plan, "architecture");
	const char *variant = plan_platform(plan, "variant");
	const char *wanted =
		options->architecture != NULL ? options->architecture : architecture_of_host();
	if (options->report == NULL || found == NULL)
		return;
	if (strcmp(found, wanted) != 0)
		report_warning(options->report, "%s: the image is for linux/%s, not for linux/%s",
			path, found, wanted);
	else if (options->variant != NULL && variant != NULL &&
		 strcmp(variant, options->variant) != 0)
		report_warning(options->report,
			"%s: the image is for linux/%s/%s, not for linux/%s/%s", path, found,
			variant, wanted, options->variant);
}

static int load_planned(struct image_source *source, const struct image_options *options,
	struct image *image, struct error *err)
{
	struct store *store = source->store;
	cleanup_plan struct plan plan = {0};
	int r = layouts[source->layout].plan(store, options, &plan, err);
	if (r == 0)
		r = check_os(&plan, store->path, err);
	if (r < 0)
		return r;
	warn_platform(&plan, options, store->path);
	image->config = json_object_get(plan.config);
	image->name = steal_ptr(&plan.name);
	/* Layers without any name but their digests are not given without them. */
	struct image_options how = *options;
	how.later = options->later && source->layout != IMAGE_LAYOUT_LEGACY;
	return layers_load(store, &plan, &how, image, err);
}

int image_source_load(struct image_source *source, const struct image_options *options,
	struct image **out, struct error *err)
{
	cleanup_image struct image *image = image_new();
	image->files->store = store_ref(source->store);
	image->from_rootfs = source->layout == IMAGE_LAYOUT_ROOTFS;
	int r = load_planned(source, options, image, err);
	if (r == 0)
		*out = steal_ptr(&image);
	return r;
}

int image_open(const char *path, const struct image_options *options, struct image **out,
	struct error *err)
{
	cleanup_image_source struct image_source *source = NULL;
	int r = open_source(path, options->keep, &source, err);
	return r < 0 ? r : image_source_load(source, options, out, err);
}

struct digest image_chain_id(const struct image *image, size_t count)
{
	struct digest chain = image->layers[0].diff_id;
	for (size_t i = 1; i < count; i++) {
		char above[DIGEST_TEXT_SIZE];
		char below[DIGEST_TEXT_SIZE];
		char pair[2 * DIGEST_TEXT_SIZE];
		int len = snprintf(pair, sizeof(pair), "%s %s", digest_text(&chain, below),
			digest_text(&image->layers[i].diff_id, above));
		chain = digest_of(pair, (size_t)len);
	}
	return chain;
}
