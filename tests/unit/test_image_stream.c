/* What becomes of the tars of compressed layers: kept, streamed, dropped. */
#include "image_builder.h"

#include <dirent.h>

#define LAYERS 6

/* The tar of a file of that size is a stream of whole pieces. */
#define LARGEST ((5u << 18) - 3u * 512)

/* Layers of different sizes: of these places the first is the largest. */
static const size_t by_size[LAYERS] = {3, 1, 5, 0, 4, 2};

static int (*const filters[])(struct archive *) = {
	archive_write_add_filter_gzip, archive_write_add_filter_zstd};

/* A layer whose file cannot be compressed much. */
static struct buffer noisy_layer(size_t len, unsigned seed)
{
	struct buffer layer = {0};
	cleanup_buffer struct buffer noise = {0};
	uint8_t *data = buffer_reserve(&noise, len);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)rand_r(&seed);
	struct archive *archive = builder_new(&layer, archive_write_set_format_ustar);
	builder_file(archive, "file", data, len);
	builder_end(archive);
	return layer;
}

struct stack {
	struct buffer tars[LAYERS];
	struct buffer blobs[LAYERS];
	struct buffer bytes; /* of a docker archive with them */
};

static void free_stack(struct stack *stack)
{
	for (size_t i = 0; i < LAYERS; i++) {
		buffer_free(&stack->tars[i]);
		buffer_free(&stack->blobs[i]);
	}
	buffer_free(&stack->bytes);
}

/* Puts the archive together from the blobs. */
static void pack(struct stack *stack)
{
	cleanup_buffer struct buffer list = {0};
	cleanup_free char *config = make_config("", stack->tars, LAYERS);
	struct archive *archive = builder_new(&stack->bytes, archive_write_set_format_ustar);
	for (size_t i = 0; i < LAYERS; i++) {
		cleanup_free char *name = xasprintf("%zu.tar", i);
		builder_file(archive, name, stack->blobs[i].data, stack->blobs[i].len);
		buffer_printf(&list, "%s\"%s\"", i > 0 ? "," : "", name);
	}
	cleanup_free char *manifest = xasprintf("[{\"Config\":\"c.json\",\"Layers\":[%.*s]}]",
		(int)list.len, (const char *)list.data);
	builder_text(archive, "c.json", config);
	builder_text(archive, "manifest.json", manifest);
	builder_end(archive);
}

static void make_stack(struct stack *stack)
{
	*stack = (struct stack){0};
	for (size_t rank = 0; rank < LAYERS; rank++) {
		size_t i = by_size[rank];
		size_t len = rank == 0 ? LARGEST : (LAYERS - rank) * 200000;
		stack->tars[i] = noisy_layer(len, (unsigned)rank);
		stack->blobs[i] = compress(&stack->tars[i], filters[i % 2]);
	}
	assert_int_equal(stack->tars[by_size[0]].len, 5u << 18);
	pack(stack);
}

static struct image *open_stack(
	const struct stack *stack, enum image_tars tars, uint64_t spool_max, bool later)
{
	const struct image_options options = {.tars = tars, .spool_max = spool_max, .later = later};
	struct image *image = NULL;
	struct error err;
	if (open_bytes(&stack->bytes, &options, &image, &err) < 0)
		fail_msg("%s", err.message);
	return image;
}

/* Reads a stream to its end. */
static int read_stream(struct image_stream *stream, struct buffer *out, struct error *err)
{
	const uint8_t *data;
	size_t len = 1;
	int r = 0;
	out->len = 0;
	while (r == 0 && len != 0) {
		r = image_stream_next(stream, &data, &len, err);
		if (r == 0)
			buffer_add(out, data, len);
	}
	return r;
}

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

/* The largest are streamed, at most four, until the rest fits; the others are as ever. */
static void test_choice(void **state)
{
	(void)state;
	struct stack stack __attribute__((cleanup(free_stack)));
	make_stack(&stack);
	uint64_t all = 0;
	for (size_t i = 0; i < LAYERS; i++)
		all += stack.blobs[i].len;
	const struct {
		uint64_t spool_max;
		size_t streamed;
	} cases[] = {
		{all, 0},
		{all - 1, 1},
		{all - stack.blobs[by_size[0]].len, 1},
		{all - stack.blobs[by_size[0]].len - 1, 2},
		{0, 4},
	};
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		bool later = i % 2 == 1;
		cleanup_image struct image *image =
			open_stack(&stack, IMAGE_TARS_STREAMED, cases[i / 2].spool_max, later);
		struct error err;
		assert_int_equal(image_verify(image, &err), 0);
		assert_true(image_has_tars(image));
		for (size_t rank = 0; rank < LAYERS; rank++) {
			size_t l = by_size[rank];
			const struct image_layer *layer = &image->layers[l];
			assert_int_equal(layer->is_streamed, rank < cases[i / 2].streamed);
			assert_string_equal(layer->media_type,
				l % 2 == 0 ? TYPE_LAYER "+gzip" : TYPE_LAYER "+zstd");
			if (layer->is_streamed)
				assert_int_equal(layer->tar_fd, -1);
			else
				assert_layer(layer, &stack.tars[l]);
		}
	}
}

/* A stream gives the tar, again and again, and outlives the image. */
static void test_streams(void **state)
{
	(void)state;
	static const struct digest none;
	struct stack stack __attribute__((cleanup(free_stack)));
	make_stack(&stack);
	size_t fds = count_fds();
	for (size_t rank = 0; rank < 4; rank++) {
		size_t l = by_size[rank];
		cleanup_image struct image *image =
			open_stack(&stack, IMAGE_TARS_STREAMED, 0, true);
		cleanup_image_stream struct image_stream *stream = image_stream_new(image, l);
		cleanup_buffer struct buffer found = {0};
		const uint8_t *data;
		size_t len;
		struct error err;
		/* Given up in the middle, and before it has begun. */
		image_stream_rewind(stream);
		assert_int_equal(image_stream_next(stream, &data, &len, &err), 0);
		assert_true(len > 0);
		image_stream_rewind(stream);
		for (unsigned round = 0; round < 3; round++) {
			assert_int_equal(read_stream(stream, &found, &err), 0);
			assert_int_equal(found.len, stack.tars[l].len);
			assert_memory_equal(found.data, stack.tars[l].data, found.len);
			assert_int_equal(image_stream_next(stream, &data, &len, &err), 0);
			assert_int_equal(len, 0);
			image_stream_rewind(stream);
			if (round == 1) {
				assert_int_equal(image_stream_next(stream, &data, &len, &err), 0);
				image_stream_rewind(stream);
			}
			if (round > 0)
				continue;
			struct image_layer *layer = &image->layers[l];
			struct digest digest = digest_of(stack.blobs[l].data, stack.blobs[l].len);
			assert_true(digest_equal(&layer->digest, &none));
			image_stream_settle(stream, layer);
			assert_true(digest_equal(&layer->digest, &digest));
			assert_int_equal(layer->tar_size, stack.tars[l].len);
			image_free(steal_ptr(&image));
		}
		/* Freed in the middle too. */
		assert_int_equal(image_stream_next(stream, &data, &len, &err), 0);
	}
	assert_int_equal(count_fds(), fds);
}

/* What is not as it is said to be is found before the end is given. */
static void test_wrong(void **state)
{
	(void)state;
	static const struct {
		enum { OTHER_TAR, CUT, FLIPPED } how;
		const char *words;
	} cases[] = {
		{OTHER_TAR, "layer 4 of 6: expected the diff ID sha256:"},
		{CUT, "layer 4 of 6: is damaged: it ends within its zstd data"},
		{FLIPPED, "layer 4 of 6: "},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stack stack __attribute__((cleanup(free_stack)));
		make_stack(&stack);
		struct buffer *blob = &stack.blobs[3];
		buffer_free(&stack.bytes);
		if (cases[i].how == OTHER_TAR) {
			cleanup_buffer struct buffer other = noisy_layer(LARGEST, 99);
			buffer_free(blob);
			*blob = compress(&other, archive_write_add_filter_zstd);
		} else if (cases[i].how == CUT) {
			blob->len -= 1000;
		} else {
			blob->data[blob->len / 2] ^= 1;
		}
		pack(&stack);
		cleanup_image struct image *image =
			open_stack(&stack, IMAGE_TARS_STREAMED, 0, true);
		cleanup_image_stream struct image_stream *stream = image_stream_new(image, 3);
		cleanup_buffer struct buffer found = {0};
		struct error err;
		int r = read_stream(stream, &found, &err);
		assert_error(&err, r, ERROR_INPUT, cases[i].words);
	}
}

/* The archive's file is written to between two readings: the second one is not taken. */
static void test_changed(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 3; how++) {
		struct stack stack __attribute__((cleanup(free_stack)));
		make_stack(&stack);
		struct memory_file file = memory_file_new(stack.bytes.data, stack.bytes.len);
		const struct image_options options = {.tars = IMAGE_TARS_STREAMED, .later = true};
		cleanup_image struct image *image = NULL;
		cleanup_buffer struct buffer found = {0};
		struct error err;
		assert_int_equal(image_open(file.path, &options, &image, &err), 0);
		cleanup_image_stream struct image_stream *stream = image_stream_new(image, 3);
		assert_int_equal(read_stream(stream, &found, &err), 0);
		image_stream_rewind(stream);
		/* Another layer that is as large and as right in itself; noise; the file cut off.
		 */
		cleanup_buffer struct buffer other = noisy_layer(LARGEST, 7);
		cleanup_buffer struct buffer packed =
			compress(&other, archive_write_add_filter_zstd);
		assert_int_equal(packed.len, stack.blobs[3].len);
		uint64_t at = image->layers[3].blob_offset;
		if (how == 0)
			assert_int_equal(
				file_write_at(file.fd, packed.data, packed.len, at, "x", &err), 0);
		else if (how == 1)
			assert_int_equal(
				file_write_at(file.fd, other.data, 1000, at, "x", &err), 0);
		else
			assert_int_equal(ftruncate(file.fd, (off_t)at + 1000), 0);
		int r = read_stream(stream, &found, &err);
		const char *const words[] = {"layer 4 of 6: expected the digest sha256:",
			"layer 4 of 6: is not compressed any more", "layer 4 of 6: "};
		assert_error(&err, r, ERROR_INPUT, words[how]);
		close(file.fd);
	}
}

/* Nothing is written where only the digests are wanted; xz goes on as its tar and needs it. */
static void test_dropped(void **state)
{
	(void)state;
	struct stack stack __attribute__((cleanup(free_stack)));
	make_stack(&stack);
	buffer_free(&stack.blobs[2]);
	stack.blobs[2] = compress(&stack.tars[2], archive_write_add_filter_xz);
	buffer_free(&stack.bytes);
	pack(&stack);
	for (unsigned round = 0; round < 2; round++) {
		cleanup_image struct image *image =
			open_stack(&stack, IMAGE_TARS_DROPPED, 0, round == 1);
		struct error err;
		assert_int_equal(image_verify(image, &err), 0);
		assert_false(image_has_tars(image));
		for (size_t l = 0; l < LAYERS; l++) {
			const struct image_layer *layer = &image->layers[l];
			struct digest blob = digest_of(stack.blobs[l].data, stack.blobs[l].len);
			struct digest tar = digest_of(stack.tars[l].data, stack.tars[l].len);
			assert_true(digest_equal(&layer->diff_id, &tar));
			assert_true(digest_equal(&layer->digest, l == 2 ? &tar : &blob));
			assert_int_equal(layer->tar_size, stack.tars[l].len);
			if (l == 2)
				assert_layer(layer, &stack.tars[l]);
			else
				assert_int_equal(layer->tar_fd, -1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
