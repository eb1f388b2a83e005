/* An image merged through streams is the image merged from its tars. */
#include "image_builder.h"

#include "commands/base_tree.h"
#include "layer/layer.h"
#include "tree/changes.h"
#include "tree/forward.h"

#define LAYERS 4

/* A layer of files, each "name=text"; the list ends with NULL. */
static struct buffer make_files(const char *const *files)
{
	struct buffer layer = {0};
	struct archive *archive = builder_new(&layer, archive_write_set_format_ustar);
	for (; *files != NULL; files++) {
		const char *text = strchr(*files, '=') + 1;
		cleanup_free char *name = xstrndup(*files, (size_t)(text - 1 - *files));
		builder_text(archive, name, text);
	}
	builder_link(archive, "link", "b", true);
	builder_end(archive);
	return layer;
}

/* A docker archive, which names no digests of its blobs; one of them it has twice. */
static struct buffer make_archive(bool is_wrong)
{
	static const char *const low[] = {"d/x=low", "c=low", "b=low", "a=low", NULL};
	static const char *const middle[] = {".wh.c=", "d/y=middle", "b=middle", NULL};
	static const char *const high[] = {
		"d/.wh..wh..opq=", "d/z=high", "b=high", "zed=high", NULL};
	struct buffer bytes = {0};
	cleanup_buffer struct buffer a = make_files(low);
	cleanup_buffer struct buffer b = make_files(middle);
	cleanup_buffer struct buffer c = make_files(high);
	cleanup_buffer struct buffer packed_a = compress(&a, archive_write_add_filter_gzip);
	cleanup_buffer struct buffer packed_b = compress(&b, archive_write_add_filter_zstd);
	const struct buffer tars[LAYERS] = {a, b, c, is_wrong ? c : b};
	cleanup_free char *config = make_config("", tars, LAYERS);
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	builder_file(archive, "a.tar", packed_a.data, packed_a.len);
	builder_file(archive, "b.tar", packed_b.data, packed_b.len);
	builder_file(archive, "c.tar", c.data, c.len);
	builder_text(archive, "c.json", config);
	builder_text(archive, "manifest.json",
		"[{\"Config\":\"c.json\",\"Layers\":[\"a.tar\",\"b.tar\",\"c.tar\",\"b.tar\"]}]");
	builder_end(archive);
	return bytes;
}

/* Opens and merges it, and gives the tree as a tar and the layers as they are known then. */
static int merge(const struct buffer *bytes, const struct image_options *options,
	struct buffer *tar, struct image_layer layers[LAYERS], struct error *err)
{
	const struct layer_options layer_options = {.keep_mtime = true};
	struct layer_info info;
	cleanup_image struct image *image = NULL;
	cleanup_tree struct tree *tree = tree_new();
	cleanup_close int fd = memfd_create("tar", MFD_CLOEXEC);
	int r = open_bytes(bytes, options, &image, err);
	if (r == 0)
		r = image_verify(image, err);
	if (r == 0)
		r = base_tree_merge(image, tree, NULL, err);
	if (r < 0)
		return r;
	assert_int_equal(image->layer_count, LAYERS);
	memcpy(layers, image->layers, LAYERS * sizeof(*layers));
	image_free(steal_ptr(&image));
	changes_mark_all(tree);
	forward_expect(tree);
	r = layer_write(tree, fd, &layer_options, &info, err);
	if (r == 0)
		r = forward_finish(tree, err);
	if (r == 0)
		*tar = memory_file_bytes(fd);
	return r;
}

static void test_same(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = make_archive(false);
	cleanup_buffer struct buffer expected = {0};
	struct image_layer wanted[LAYERS];
	struct error err;
	const struct image_options kept = {.later = true};
	assert_int_equal(merge(&bytes, &kept, &expected, wanted, &err), 0);
	/* From all of the compressed layers streamed to none. */
	size_t least = LAYERS;
	for (uint64_t spool_max = 0; spool_max < 2000; spool_max += 100) {
		const struct image_options options = {
			.tars = IMAGE_TARS_STREAMED, .spool_max = spool_max, .later = true};
		cleanup_buffer struct buffer found = {0};
		struct image_layer layers[LAYERS];
		size_t streamed = 0;
		if (merge(&bytes, &options, &found, layers, &err) < 0)
			fail_msg("%s", err.message);
		assert_int_equal(found.len, expected.len);
		assert_memory_equal(found.data, expected.data, found.len);
		for (size_t i = 0; i < LAYERS; i++) {
			streamed += layers[i].is_streamed;
			assert_true(digest_equal(&layers[i].digest, &wanted[i].digest));
			assert_true(digest_equal(&layers[i].diff_id, &wanted[i].diff_id));
			assert_int_equal(layers[i].tar_size, wanted[i].tar_size);
			assert_string_equal(layers[i].media_type, wanted[i].media_type);
		}
		assert_true(spool_max == 0 ? streamed == 3 : streamed <= least);
		least = streamed;
	}
	assert_int_equal(least, 0);
}

/* No tree comes of a layer that is not what the config names. */
static void test_wrong(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = make_archive(true);
	const struct image_options options = {.tars = IMAGE_TARS_STREAMED, .later = true};
	cleanup_buffer struct buffer found = {0};
	struct image_layer layers[LAYERS];
	struct error err;
	int r = merge(&bytes, &options, &found, layers, &err);
	assert_error(&err, r, ERROR_INPUT, "layer 4 of 4 (b.tar): expected the diff ID sha256:");
	/* The words name the archive and the layer, once. */
	assert_memory_equal(err.message, "/proc/self/fd/", strlen("/proc/self/fd/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
