/* image_verify: the digests of layers that were left for later, right and wrong. */
#include "image_builder.h"

#include <dirent.h>

static const struct image_options later = {.later = true};

/*
 * A docker archive of two layers with the texts "a" and "b"; the second may be compressed. The
 * config's diff ID of layer `wrong` is that of other bytes; 2: of none.
 */
static struct buffer two_layers(int (*filter)(struct archive *), size_t wrong)
{
	struct buffer bytes = {0};
	cleanup_buffer struct buffer a = make_layer("a");
	cleanup_buffer struct buffer b = make_layer("b");
	cleanup_buffer struct buffer other = make_layer("other");
	cleanup_buffer struct buffer stored = compress(&b, filter);
	const struct buffer tars[] = {wrong == 0 ? other : a, wrong == 1 ? other : b};
	cleanup_free char *config = make_config("", tars, 2);
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	builder_file(archive, "a.tar", a.data, a.len);
	builder_file(archive, "b.tar", stored.data, stored.len);
	builder_text(archive, "c.json", config);
	builder_text(archive, "manifest.json",
		"[{\"Config\":\"c.json\",\"Layers\":[\"a.tar\",\"b.tar\"]}]");
	builder_end(archive);
	return bytes;
}

static struct image *open_later(const struct buffer *bytes)
{
	struct image *image = NULL;
	struct error err;
	if (open_bytes(bytes, &later, &image, &err) < 0)
		fail_msg("%s", err.message);
	return image;
}

/* How many descriptors are open. */
static size_t count_fds(void)
{
	size_t count = 0;
	DIR *stream = opendir("/proc/self/fd");
	assert_non_null(stream);
	while (readdir(stream) != NULL)
		count++;
	closedir(stream);
	return count;
}

/* The same image comes out, whenever it is verified; compressed layers have no tar before. */
static void test_same(void **state)
{
	(void)state;
	int (*const filters[])(struct archive *) = {NULL, archive_write_add_filter_gzip,
		archive_write_add_filter_zstd, archive_write_add_filter_xz};
	size_t fds = count_fds();
	for (size_t i = 0; i < 4; i++) {
		cleanup_buffer struct buffer bytes = two_layers(filters[i], 2);
		cleanup_image struct image *at_once = NULL;
		cleanup_image struct image *image = open_later(&bytes);
		struct error err;
		assert_int_equal(open_bytes(&bytes, NULL, &at_once, &err), 0);
		bool inflates = i == 1 || i == 2;
		assert_int_equal(image_has_tars(image), !inflates);
		assert_int_equal(image->layers[1].tar_fd < 0, inflates);
		for (size_t l = 0; l < 2; l++) {
			const struct image_layer *promised = &image->layers[l];
			const struct image_layer *wanted = &at_once->layers[l];
			assert_true(digest_equal(&promised->diff_id, &wanted->diff_id));
			assert_string_equal(promised->media_type, wanted->media_type);
			assert_int_equal(promised->blob_size, wanted->blob_size);
		}
		image_verify_start(image);
		image_verify_start(image);
		assert_int_equal(image_verify(image, &err), 0);
		assert_int_equal(image_verify(image, &err), 0);
		assert_true(image_has_tars(image));
		assert_int_equal(image->layer_count, 2);
		for (size_t l = 0; l < 2; l++) {
			const struct image_layer *found = &image->layers[l];
			const struct image_layer *wanted = &at_once->layers[l];
			assert_true(digest_equal(&found->diff_id, &wanted->diff_id));
			assert_true(digest_equal(&found->digest, &wanted->digest));
			assert_string_equal(found->media_type, wanted->media_type);
			assert_true(found->tar_size == wanted->tar_size);
			assert_true(found->blob_size == wanted->blob_size);
		}
	}
	assert_int_equal(count_fds(), fds);
}

/* A wrong layer that lies uncompressed is found by the verification, with the same words. */
static void test_wrong(void **state)
{
	(void)state;
	for (size_t wrong = 0; wrong < 2; wrong++) {
		cleanup_buffer struct buffer bytes = two_layers(NULL, wrong);
		cleanup_image struct image *image = open_later(&bytes);
		cleanup_image struct image *at_once = NULL;
		struct error err;
		struct error err_at_once;
		cleanup_free char *words =
			xasprintf("layer %zu of 2 (%c.tar): expected the diff ID", wrong + 1,
				wrong == 0 ? 'a' : 'b');
		int r = image_verify(image, &err);
		assert_error(&err, r, ERROR_INPUT, words);
		r = open_bytes(&bytes, NULL, &at_once, &err_at_once);
		assert_error(&err_at_once, r, ERROR_INPUT, words);
	}
}

/* So is a compressed one, and again by another call. */
static void test_wrong_compressed(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = two_layers(archive_write_add_filter_gzip, 1);
	cleanup_image struct image *image = open_later(&bytes);
	struct error err;
	for (unsigned i = 0; i < 2; i++) {
		int r = image_verify(image, &err);
		assert_error(&err, r, ERROR_INPUT, "layer 2 of 2 (b.tar): expected the diff ID");
	}
}

/* xz goes on as its tar, which is needed at once. */
static void test_wrong_xz(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = two_layers(archive_write_add_filter_xz, 1);
	cleanup_image struct image *image = NULL;
	struct error err;
	int r = open_bytes(&bytes, &later, &image, &err);
	assert_error(&err, r, ERROR_INPUT, "layer 2 of 2 (b.tar): expected the diff ID");
}

/* Digests that were found before are there at once, and are what is verified. */
static void test_trust(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = two_layers(archive_write_add_filter_gzip, 2);
	struct image_digests digests[2];
	struct error err;
	{
		cleanup_image struct image *image = open_later(&bytes);
		assert_int_equal(image_verify(image, &err), 0);
		for (size_t i = 0; i < 2; i++)
			digests[i] = (struct image_digests){
				image->layers[i].digest, image->layers[i].diff_id};
	}
	for (size_t wrong = 0; wrong < 3; wrong++) {
		cleanup_image struct image *image = open_later(&bytes);
		struct image_digests given[2] = {digests[0], digests[1]};
		if (wrong == 1)
			given[1].digest.bytes[0] ^= 1;
		if (wrong == 2)
			given[0].diff_id.bytes[0] ^= 1;
		image_trust(image, given);
		for (size_t i = 0; i < 2; i++) {
			const struct image_layer *layer = &image->layers[i];
			assert_true(digest_equal(&layer->digest, &given[i].digest));
			assert_true(digest_equal(&layer->diff_id, &given[i].diff_id));
		}
		int r = image_verify(image, &err);
		if (wrong == 0)
			assert_int_equal(r, 0);
		else
			assert_error(&err, r, ERROR_INPUT,
				wrong == 1 ? "(b.tar): expected the digest"
					   : "(a.tar): expected the diff ID");
	}
}

/* A root file system gets its digests, and its config the rootfs, in the end. */
static void test_rootfs(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = make_layer("x");
	cleanup_image struct image *image = open_later(&bytes);
	static const struct digest none;
	struct digest digest = digest_of(bytes.data, bytes.len);
	struct error err;
	json_object *rootfs = NULL;
	assert_true(image->from_rootfs);
	assert_true(digest_equal(&image->layers[0].diff_id, &none));
	assert_false(json_object_object_get_ex(image->config, "rootfs", &rootfs));
	assert_int_equal(image_verify(image, &err), 0);
	assert_true(digest_equal(&image->layers[0].diff_id, &digest));
	assert_true(digest_equal(&image->layers[0].digest, &digest));
	assert_true(json_object_object_get_ex(image->config, "rootfs", &rootfs));
}

/* An image may be freed while its layers are being hashed, or inflated. */
static void test_abandoned(void **state)
{
	(void)state;
	cleanup_free char *text = xmalloc((64u << 20) + 1);
	memset(text, 'x', 64u << 20);
	text[64u << 20] = '\0';
	cleanup_buffer struct buffer layer = make_layer(text);
	cleanup_buffer struct buffer stored = compress(&layer, archive_write_add_filter_gzip);
	cleanup_free char *config = make_config("", &layer, 1);
	cleanup_buffer struct buffer archived = {0};
	struct archive *archive = builder_new(&archived, archive_write_set_format_ustar);
	builder_file(archive, "a.tar", stored.data, stored.len);
	builder_text(archive, "c.json", config);
	builder_text(archive, "manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"a.tar\"]}]");
	builder_end(archive);
	for (size_t i = 0; i < 6; i++) {
		const struct buffer bytes = i % 2 == 0 ? layer : archived;
		cleanup_image struct image *image = open_later(&bytes);
		image_verify_start(image);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_wrong_compressed),
		cmocka_unit_test(test_wrong_xz),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_rootfs),
		cmocka_unit_test(test_abandoned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
