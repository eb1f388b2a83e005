/* Images that were verified once are known by their file, and by nothing less. */
#include "image_builder.h"

#include <fcntl.h>
#include <ftw.h>
#include <time.h>

#include "commands/known_image.h"

static char folder[] = "/tmp/layervm-known-XXXXXX";

/* Archives that are made once, and waited for once until they are old enough. */
enum which { PLAIN, SAME_CONFIG, GZIP, XZ, WRITTEN, REPLACED, UNCHANGED, REWRITTEN, ARCHIVES };
static char paths[ARCHIVES][64];

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(name);
}

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%s", err->message);
}

/*
 * Two images of one layer each in one archive: "one:1" has the text "a", "two:2" the text "b" or
 * another; both have the config of "a" or, where they should, their own. filter: compresses the
 * first one's layer, or NULL.
 */
static struct buffer two_images(
	const char *second, bool own_config, int (*filter)(struct archive *))
{
	struct buffer bytes = {0};
	cleanup_buffer struct buffer a = make_layer("a");
	cleanup_buffer struct buffer b = make_layer(second);
	cleanup_buffer struct buffer stored = compress(&a, filter);
	cleanup_free char *config_a = make_config("", &a, 1);
	cleanup_free char *config_b = make_config("", &b, 1);
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	builder_file(archive, "a.tar", stored.data, stored.len);
	builder_file(archive, "b.tar", b.data, b.len);
	builder_text(archive, "a.json", config_a);
	builder_text(archive, "b.json", config_b);
	cleanup_free char *manifest = xasprintf(
		"[{\"Config\":\"a.json\",\"RepoTags\":[\"one:1\"],\"Layers\":[\"a.tar\"]},"
		"{\"Config\":\"%s.json\",\"RepoTags\":[\"two:2\"],\"Layers\":[\"b.tar\"]}]",
		own_config ? "b" : "a");
	builder_text(archive, "manifest.json", manifest);
	builder_end(archive);
	return bytes;
}

static void write_archive(const char *path, const struct buffer *bytes)
{
	struct error err;
	cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	must(file_write_at(fd, bytes->data, bytes->len, 0, "archive", &err), &err);
}

static struct image *open_as(
	const char *from, const char *name, const char *tag, enum image_tars tars)
{
	struct image *image = NULL;
	struct error err;
	const struct image_options options = {
		.later = true, .name = name, .tag = tag, .tars = tars};
	must(image_open(from, &options, &image, &err), &err);
	return image;
}

static struct image *open_image(const char *from, const char *name, const char *tag)
{
	return open_as(from, name, tag, IMAGE_TARS_KEPT);
}

static int find(const struct cache *cache, struct image *image)
{
	struct error err;
	int r = known_image_find(cache, image, &err);
	must(r, &err);
	return r;
}

/* Waits until the file that was just written is as old as a known one must be. */
static void settle(const char *path)
{
	for (;;) {
		cleanup_image struct image *image = open_image(path, "one", "1");
		if (image_is_settled(image))
			return;
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
}

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL || setenv("LAYERVM_CACHE_DIR", folder, 1) < 0)
		return -1;
	for (unsigned i = 0; i < ARCHIVES; i++) {
		cleanup_buffer struct buffer bytes = two_images("evil", i != SAME_CONFIG,
			i == GZIP ? archive_write_add_filter_gzip
			: i == XZ ? archive_write_add_filter_xz
				  : NULL);
		snprintf(paths[i], sizeof(paths[i]), "%s/archive-%u", folder, i);
		write_archive(paths[i], &bytes);
	}
	settle(paths[ARCHIVES - 1]);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Verifies the image and remembers it. Its digests. */
static struct image_digests learn(const struct cache *cache, struct image *image)
{
	struct error err;
	must(image_verify(image, &err), &err);
	must(known_image_put(cache, image, &err), &err);
	return (struct image_digests){image->layers[0].digest, image->layers[0].diff_id};
}

static struct cache *open_cache(void)
{
	struct cache *cache = NULL;
	struct error err;
	must(cache_open(&cache, &err), &err);
	return cache;
}

static void assert_digests(const struct image *image, const struct image_digests *digests)
{
	assert_true(digest_equal(&image->layers[0].digest, &digests->digest));
	assert_true(digest_equal(&image->layers[0].diff_id, &digests->diff_id));
}

/* An archive is known with what only reading it tells. */
static void test_known(void **state)
{
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_image struct image *image = open_image(paths[GZIP], "one", "1");
	assert_int_equal(find(cache, image), 0);
	struct image_digests digests = learn(cache, image);

	cleanup_image struct image *again = open_image(paths[GZIP], "one", "1");
	static const struct digest none;
	assert_true(digest_equal(&again->layers[0].digest, &none));
	assert_int_equal(find(cache, again), 1);
	assert_digests(again, &digests);
	assert_false(image_has_tars(again));
	/* The tar is there where it is wanted. */
	struct error err;
	must(image_verify(again, &err), &err);
	assert_true(image_has_tars(again));
	assert_digests(again, &digests);

	/* By any path that leads to the file. */
	char other[80];
	snprintf(other, sizeof(other), "%s.link", paths[GZIP]);
	assert_int_equal(symlink(paths[GZIP], other), 0);
	cleanup_image struct image *linked = open_image(other, "one", "1");
	assert_int_equal(find(cache, linked), 1);
}

/* Reads the first layer's stream to its end, and puts what it finds into the image. */
static void stream_layer(struct image *image)
{
	cleanup_image_stream struct image_stream *stream = image_stream_new(image, 0);
	struct error err;
	const uint8_t *data;
	size_t len;
	do
		must(image_stream_next(stream, &data, &len, &err), &err);
	while (len != 0);
	image_stream_settle(stream, &image->layers[0]);
}

/* An image that is streamed is known as others are, by them and for them. */
static void test_streamed(void **state)
{
	(void)state;
	static const enum image_tars ways[] = {IMAGE_TARS_STREAMED, IMAGE_TARS_KEPT};
	cleanup_cache struct cache *cache = open_cache();
	for (unsigned i = 0; i < 4; i++) {
		struct error err;
		cleanup_image struct image *image = open_as(paths[GZIP], "one", "1", ways[i / 2]);
		must(known_image_forget(cache, image, &err), &err);
		assert_int_equal(find(cache, image), 0);
		assert_int_equal(image->layers[0].is_streamed, i / 2 == 0);
		if (image->layers[0].is_streamed)
			stream_layer(image);
		struct image_digests digests = learn(cache, image);
		cleanup_image struct image *again = open_as(paths[GZIP], "one", "1", ways[i % 2]);
		assert_int_equal(find(cache, again), 1);
		assert_digests(again, &digests);
		assert_int_equal(again->layers[0].is_streamed, i % 2 == 0);
		assert_int_equal(again->layers[0].is_trusted, i % 2 == 0);
		if (again->layers[0].is_streamed)
			stream_layer(again);
		assert_digests(again, &digests);
	}
}

/* Layers of xz go on as their tars, and are inflated when they are loaded. */
static void test_loaded_at_once(void **state)
{
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_image struct image *image = open_image(paths[XZ], "one", "1");
	assert_int_equal(find(cache, image), 0);
	struct image_digests digests = learn(cache, image);
	assert_true(digest_equal(&digests.digest, &digests.diff_id));
	cleanup_image struct image *again = open_image(paths[XZ], "one", "1");
	assert_int_equal(find(cache, again), 1);
	assert_digests(again, &digests);
	assert_true(image_has_tars(again));
}

/* One that was written just now could change without another time. */
static void test_fresh(void **state)
{
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_buffer struct buffer bytes = two_images("b", true, NULL);
	char path[80];
	snprintf(path, sizeof(path), "%s/fresh", folder);
	write_archive(path, &bytes);
	cleanup_image struct image *image = open_image(path, "one", "1");
	learn(cache, image);
	assert_int_equal(find(cache, image), 0);
}

/* Another image of the same archive is not, though it names the same config. */
static void test_other_image(void **state)
{
	(void)state;
	static const enum which cases[] = {PLAIN, SAME_CONFIG};
	cleanup_cache struct cache *cache = open_cache();
	for (unsigned i = 0; i < 2; i++) {
		struct error err;
		cleanup_image struct image *one = open_image(paths[cases[i]], "one", "1");
		learn(cache, one);
		cleanup_image struct image *two = open_image(paths[cases[i]], "two", "2");
		assert_int_equal(find(cache, two), 0);
		assert_int_equal(image_verify(two, &err) == 0, cases[i] == PLAIN);
		cleanup_image struct image *again = open_image(paths[cases[i]], "one", "1");
		assert_int_equal(find(cache, again), 1);
	}
}

/* A file that was changed, even to the same length and time, or replaced, is another one. */
static void test_changed(void **state)
{
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_buffer struct buffer bytes = two_images("evil", true, NULL);
	for (enum which i = WRITTEN; i <= UNCHANGED; i++) {
		struct stat st;
		assert_int_equal(stat(paths[i], &st), 0);
		assert_int_equal(st.st_size, bytes.len);
		cleanup_image struct image *image = open_image(paths[i], "one", "1");
		learn(cache, image);
		if (i == REPLACED)
			assert_int_equal(unlink(paths[i]), 0);
		if (i != UNCHANGED) {
			const struct timespec times[] = {st.st_atim, st.st_mtim};
			write_archive(paths[i], &bytes);
			assert_int_equal(utimensat(AT_FDCWD, paths[i], times, 0), 0);
		}
		cleanup_image struct image *again = open_image(paths[i], "one", "1");
		assert_int_equal(find(cache, again), i == UNCHANGED);
	}
}

/* One that changes while it is read is not remembered. */
static void test_changed_while_read(void **state)
{
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_buffer struct buffer bytes = two_images("evil", true, NULL);
	cleanup_image struct image *image = open_image(paths[REWRITTEN], "one", "1");
	struct error err;
	must(image_verify(image, &err), &err);
	write_archive(paths[REWRITTEN], &bytes);
	settle(paths[REWRITTEN]);
	must(known_image_put(cache, image, &err), &err);
	assert_int_equal(find(cache, image), 0);
}

/* Pipes are known by nothing. */
static void test_pipe(void **state)
{
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_buffer struct buffer bytes = two_images("b", true, NULL);
	int ends[2];
	char name[32];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= (int)bytes.len);
	assert_int_equal(write(ends[1], bytes.data, bytes.len), bytes.len);
	close(ends[1]);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", ends[0]);
	cleanup_image struct image *image = open_image(name, "one", "1");
	close(ends[0]);
	struct digest fingerprint;
	assert_false(image_fingerprint(image, &fingerprint));
	learn(cache, image);
	assert_int_equal(find(cache, image), 0);
}

/* There is nothing to be known of an image without layers. */
static void test_no_layers(void **state)
{
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_buffer struct buffer bytes = {0};
	cleanup_free char *config = make_config("", NULL, 0);
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	builder_text(archive, "c.json", config);
	builder_text(archive, "manifest.json",
		"[{\"Config\":\"c.json\",\"RepoTags\":[\"one:1\"],\"Layers\":[]}]");
	builder_end(archive);
	char path[80];
	snprintf(path, sizeof(path), "%s/empty", folder);
	write_archive(path, &bytes);
	cleanup_image struct image *image = open_image(path, "one", "1");
	struct digest fingerprint;
	assert_int_equal(image->layer_count, 0);
	assert_false(image_fingerprint(image, &fingerprint));
	assert_int_equal(find(cache, image), 0);
}

/* Does something to all entries, $f, that the cache has of images. */
static void damage_entry(const char *how)
{
	cleanup_free char *command =
		xasprintf("set -e; for f in %s/image/*; do %s; done", folder, how);
	assert_int_equal(system(command), 0);
}

/* A damaged entry is none, and the next one takes its place. */
static void test_damage(void **state)
{
	(void)state;
	static const char *const ways[] = {"printf x >> \"$f\"", ": > \"$f\"",
		"printf x | dd of=\"$f\" conv=notrunc 2>/dev/null"};
	cleanup_cache struct cache *cache = open_cache();
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		cleanup_image struct image *image = open_image(paths[PLAIN], "one", "1");
		learn(cache, image);
		assert_int_equal(find(cache, image), 1);
		damage_entry(ways[i]);
		assert_int_equal(find(cache, image), 0);
		learn(cache, image);
		assert_int_equal(find(cache, image), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_streamed),
		cmocka_unit_test(test_loaded_at_once),
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_other_image),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_changed_while_read),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_no_layers),
		cmocka_unit_test(test_damage),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
