#include "archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layer/tar_header.h"
#include "support/fileio.h"

#define LAYERS_SIZE_MAX (UINT64_C(4) << 20)
#define ARCHIVE_SIZE_MAX ((size_t)64 << 20)

static const char *const tags[] = {"fuzz:1", NULL};

void archive_initialize(void)
{
	setenv("TMPDIR", "/dev/shm", 1);
}

void archive_add(struct buffer *tar, const char *name, const void *data, size_t len)
{
	static const char zeros[TAR_BLOCK];
	tar_header_add(
		tar, &(struct tar_header){.path = name, .type = '0', .mode = 0644, .size = len});
	buffer_add(tar, data, len);
	if (len % TAR_BLOCK != 0)
		buffer_add(tar, zeros, TAR_BLOCK - len % TAR_BLOCK);
}

void archive_end(struct buffer *tar)
{
	static const char zeros[2 * TAR_BLOCK];
	buffer_add(tar, zeros, sizeof(zeros));
}

/* What is listed can be shown, and agrees with what is loaded where there is no choice. */
static void check_list(const struct image_list *list, const struct image *image)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct image_summary *summary = &list->images[i];
		for (char **name = summary->names; *name != NULL; name++) {
			if (**name == '\0')
				fuzz_broken("image %zu has an empty name", i);
		}
		if (summary->is_missing && summary->layer_count != 0)
			fuzz_broken("image %zu is missing, but has layers", i);
	}
	if (image == NULL || list->count != 1 || list->images[0].is_missing)
		return;
	if (list->images[0].layer_count != image->layer_count)
		fuzz_broken("%zu layers are listed, %zu are loaded", list->images[0].layer_count,
			image->layer_count);
	if ((list->layout == IMAGE_LAYOUT_ROOTFS) != image->from_rootfs)
		fuzz_broken("what is listed as layout %d is loaded as another", list->layout);
}

/* What is known without the layers' bytes. With a root file system's tar nothing is. */
static void check_promises(const struct image *at_once, const struct image *later)
{
	if (later->layer_count != at_once->layer_count)
		fuzz_broken(
			"%zu layers at once, %zu later", at_once->layer_count, later->layer_count);
	for (size_t i = 0; i < at_once->layer_count && !at_once->from_rootfs; i++) {
		if (!digest_equal(&at_once->layers[i].diff_id, &later->layers[i].diff_id))
			fuzz_broken("layer %zu has another diff ID later", i);
	}
}

static void check_layers_alike(const struct image *at_once, const struct image *later)
{
	check_promises(at_once, later);
	for (size_t i = 0; i < at_once->layer_count; i++) {
		const struct image_layer *a = &at_once->layers[i];
		const struct image_layer *b = &later->layers[i];
		if ((!at_once->from_rootfs && !digest_equal(&a->digest, &b->digest)) ||
			a->tar_size != b->tar_size || a->blob_size != b->blob_size)
			fuzz_broken("layer %zu is another one later", i);
	}
}

/*
 * Layers that are left for later are as right, or wrong, as those that are not, and their diff
 * IDs are told before. image: what was loaded with all digests; NULL: it was refused.
 */
static void load_later(struct image_source *source, const struct image *image)
{
	static const struct image_options options = {.architecture = "amd64", .later = true};
	cleanup_image struct image *later = NULL;
	struct error err = fuzz_error();
	int r = image_source_load(source, &options, &later, &err);
	if (r < 0)
		later = NULL;
	if (r == 0 && image != NULL)
		check_promises(image, later);
	if (r == 0)
		r = image_verify(later, &err);
	if (fuzz_ok(r, &err) != (image != NULL))
		fuzz_broken("%s at once, %s later: %s", image != NULL ? "taken" : "refused",
			r == 0 ? "taken" : "refused", r == 0 ? "" : err.message);
	if (r == 0)
		check_layers_alike(image, later);
}

/* The other ways of choosing an image. */
static void load_chosen(struct image_source *source)
{
	static const struct image_options choices[] = {
		{.name = "fuzz", .tag = "1", .architecture = "arm64", .variant = "v8"},
		{.name = "1", .tag = "latest", .architecture = "arm64", .variant = "v8"},
		{.name = "none", .tag = "2", .architecture = "amd64"},
	};
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		cleanup_image struct image *image = NULL;
		struct error err = fuzz_error();
		if (!fuzz_ok(image_source_load(source, &choices[i], &image, &err), &err))
			image = NULL;
	}
}

static struct image *open_path(const char *path, struct error *err)
{
	static const struct image_options options = {.architecture = "amd64"};
	cleanup_image_source struct image_source *source = NULL;
	cleanup_image_list struct image_list *list = NULL;
	struct error list_err = fuzz_error();
	struct image *image = NULL;
	*err = fuzz_error();
	if (!fuzz_ok(image_source_open(path, &source, err), err))
		return NULL;
	bool listed = fuzz_ok(image_source_list(source, &list, &list_err), &list_err);
	if (!fuzz_ok(image_source_load(source, &options, &image, err), err))
		image = NULL;
	if (listed)
		check_list(list, image);
	load_later(source, image);
	load_chosen(source);
	return image;
}

static struct image *open_bytes(const void *data, size_t size, struct error *err)
{
	cleanup_fuzz_file struct fuzz_file file = fuzz_file_new(data, size);
	return open_path(file.path, err);
}

/* What its layers are. */
static void tell_image(const struct image *image)
{
	struct digest id = image_config_digest(image->config);
	fuzz_outcome("image", id.bytes, sizeof(id.bytes));
	for (size_t i = 0; i < image->layer_count; i++) {
		const struct image_layer *layer = &image->layers[i];
		fuzz_outcome("layer", layer->diff_id.bytes, sizeof(layer->diff_id.bytes));
		fuzz_outcome("layer", &layer->tar_size, sizeof(layer->tar_size));
	}
}

struct image *archive_open(const void *data, size_t size)
{
	struct error err;
	struct image *image = open_bytes(data, size, &err);
	if (image != NULL)
		tell_image(image);
	return image;
}

struct image *archive_open_folder(const char *path)
{
	struct error err;
	struct image *image = open_path(path, &err);
	if (image != NULL)
		tell_image(image);
	return image;
}

static bool is_small(const struct image *image)
{
	uint64_t total = 0;
	for (size_t i = 0; i < image->layer_count; i++) {
		const struct image_layer *layer = &image->layers[i];
		if (__builtin_add_overflow(total, layer->tar_size, &total) ||
			__builtin_add_overflow(total, layer->blob_size, &total))
			return false;
	}
	return total <= LAYERS_SIZE_MAX;
}

static void check_bytes(
	int fd, uint64_t offset, uint64_t size, const struct digest *digest, const char *what)
{
	cleanup_free uint8_t *bytes = xmalloc((size_t)size + 1);
	struct error err = fuzz_error();
	fuzz_must(file_read_at(fd, bytes, (size_t)size, offset, what, &err), &err, what);
	struct digest found = digest_of(bytes, (size_t)size);
	if (!digest_equal(&found, digest))
		fuzz_broken("%s has another digest than is told", what);
}

/* Layers are the bytes that their digests and the config tell of. */
static void check_layers(const struct image *image)
{
	json_object *rootfs = json_object_object_get(image->config, "rootfs");
	json_object *ids = json_object_object_get(rootfs, "diff_ids");
	for (size_t i = 0; i < image->layer_count; i++) {
		const struct image_layer *layer = &image->layers[i];
		char text[DIGEST_TEXT_SIZE];
		check_bytes(layer->tar_fd, layer->tar_offset, layer->tar_size, &layer->diff_id,
			"a layer's tar");
		check_bytes(layer->blob_fd, layer->blob_offset, layer->blob_size, &layer->digest,
			"a layer's blob");
		json_object *id = json_object_array_get_idx(ids, i);
		if (strcmp(digest_text(&layer->diff_id, text), json_object_get_string(id)) != 0)
			fuzz_broken("layer %zu is not the one that the config names", i);
	}
}

static void check_read(const struct image *image, const struct buffer *archive,
	const struct image_written *written)
{
	struct error err;
	cleanup_image struct image *again = open_bytes(archive->data, archive->len, &err);
	if (again == NULL)
		fuzz_broken("an archive that was written cannot be opened: %s", err.message);
	struct digest id = image_config_digest(again->config);
	if (!digest_equal(&id, &written->image_id))
		fuzz_broken("the image that was written has another ID");
	if (again->layer_count != image->layer_count)
		fuzz_broken("%zu layers were written, %zu are read", image->layer_count,
			again->layer_count);
	for (size_t i = 0; i < again->layer_count; i++) {
		if (!digest_equal(&again->layers[i].diff_id, &image->layers[i].diff_id) ||
			!digest_equal(&again->layers[i].digest, &image->layers[i].digest) ||
			again->layers[i].tar_size != image->layers[i].tar_size)
			fuzz_broken("layer %zu that was written is another", i);
	}
}

void archive_check(const struct image *image, json_object *spec_config)
{
	const struct image_write_options options = {
		.tags = tags,
		.architecture = "amd64",
		.created = 1,
		.config = spec_config,
	};
	struct error err = fuzz_error();
	json_object *config = NULL;
	struct image_written written;
	if (!fuzz_ok(image_make_config(image, &options, &config, &err), &err))
		return;
	struct digest id = image_config_digest(config);
	fuzz_outcome("config", id.bytes, sizeof(id.bytes));
	json_object_put(config);
	image_env_free(image_env(image, spec_config));
	if (!is_small(image))
		return;
	check_layers(image);
	cleanup_fuzz_file struct fuzz_file file = fuzz_file_new("", 0);
	cleanup_buffer struct buffer archive = {0};
	fuzz_must(image_write(file.fd, image, &options, &written, &err), &err, "image_write");
	if (!digest_equal(&id, &written.image_id))
		fuzz_broken("the config that was made is not the one that was written");
	lseek(file.fd, 0, SEEK_SET);
	fuzz_must(file_read_all(file.fd, ARCHIVE_SIZE_MAX, &archive, "archive", &err), &err,
		"the archive");
	check_read(image, &archive, &written);
}
