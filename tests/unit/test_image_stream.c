/* What becomes of the tars of compressed layers: kept, streamed, dropped. */
#include "image_builder.h"

#include <dirent.h>
#include <endian.h>

#include "image/layers.h"

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
		{OTHER_TAR, "layer 4 of 6 (3.tar): expected the diff ID sha256:"},
		{CUT, "layer 4 of 6 (3.tar): is damaged: it ends within its zstd data"},
		{FLIPPED, "layer 4 of 6 (3.tar): expected the diff ID sha256:"},
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

/* A blob as long as another one: the tar, compressed, and a frame that zstd skips. */
static struct buffer padded_blob(const struct buffer *tar, size_t len)
{
	struct buffer blob = compress(tar, archive_write_add_filter_zstd);
	assert_true(blob.len + 8 <= len);
	/* RFC 8878, "Skippable Frames": a magic number and how many bytes follow. */
	const uint32_t header[] = {htole32(0x184d2a50), htole32((uint32_t)(len - blob.len - 8))};
	buffer_add(&blob, header, sizeof(header));
	memset(buffer_reserve(&blob, len - blob.len), 0, len - blob.len);
	blob.len = len;
	return blob;
}

/* What the largest layer's bytes become between two readings. */
enum change { OTHER, NOISE, CUT_OFF, FEWER, MORE, CHANGES };

/* What takes the blob's place; it is as long, but for noise. */
static struct buffer changed_blob(enum change change, const struct buffer *blob)
{
	cleanup_buffer struct buffer tar = {0};
	if (change == OTHER || change == NOISE) {
		tar = noisy_layer(LARGEST, 7);
		return compress(&tar, change == OTHER ? archive_write_add_filter_zstd : NULL);
	}
	/* Tars end at a multiple of 10240. */
	size_t len = change == MORE ? LARGEST + 10240 : LARGEST - 10240;
	cleanup_free void *zeros = xcalloc(1, len);
	struct archive *archive = builder_new(&tar, archive_write_set_format_ustar);
	builder_file(archive, "file", zeros, len);
	builder_end(archive);
	return padded_blob(&tar, blob->len);
}

/* The archive's file is written to between two readings: the second one is not taken. */
static void test_changed(void **state)
{
	(void)state;
	static const char *const words[] = {
		[OTHER] = "layer 4 of 6 (3.tar): expected the digest sha256:",
		[NOISE] = "layer 4 of 6 (3.tar): is not compressed any more: changed while it was",
		[CUT_OFF] = "layer 4 of 6 (3.tar): ",
		[FEWER] = "layer 4 of 6 (3.tar): expected the digest sha256:",
		[MORE] = "layer 4 of 6 (3.tar): gives more bytes than the first time: changed",
	};
	for (enum change change = OTHER; change < CHANGES; change++) {
		struct stack stack __attribute__((cleanup(free_stack)));
		make_stack(&stack);
		struct memory_file file = memory_file_new(stack.bytes.data, stack.bytes.len);
		const struct image_options options = {.tars = IMAGE_TARS_STREAMED, .later = true};
		cleanup_image struct image *image = NULL;
		cleanup_buffer struct buffer found = {0};
		cleanup_buffer struct buffer other = changed_blob(change, &stack.blobs[3]);
		struct error err;
		assert_int_equal(image_open(file.path, &options, &image, &err), 0);
		cleanup_image_stream struct image_stream *stream = image_stream_new(image, 3);
		assert_int_equal(read_stream(stream, &found, &err), 0);
		image_stream_rewind(stream);
		uint64_t at = image->layers[3].blob_offset;
		if (change == CUT_OFF)
			assert_int_equal(ftruncate(file.fd, (off_t)at + 1000), 0);
		else
			assert_int_equal(
				file_write_at(file.fd, other.data, other.len, at, "x", &err), 0);
		assert_true(change == NOISE || other.len == stack.blobs[3].len);
		int r = read_stream(stream, &found, &err);
		assert_error(&err, r, ERROR_INPUT, words[change]);
		close(file.fd);
	}
}

/* Opens the stack's file with the digests that an earlier reading is said to have found. */
static struct image *open_trusted(const struct stack *stack, const char *path)
{
	const struct image_options options = {.tars = IMAGE_TARS_STREAMED, .later = true};
	struct image_digests digests[LAYERS];
	struct image *image = NULL;
	struct error err;
	for (size_t i = 0; i < LAYERS; i++)
		digests[i] =
			(struct image_digests){digest_of(stack->blobs[i].data, stack->blobs[i].len),
				digest_of(stack->tars[i].data, stack->tars[i].len)};
	if (image_open(path, &options, &image, &err) < 0)
		fail_msg("%s", err.message);
	image_trust(image, digests);
	assert_true(digest_equal(&image->layers[3].digest, &digests[3].digest));
	assert_true(digest_equal(&image->layers[3].diff_id, &digests[3].diff_id));
	return image;
}

/*
 * A layer that is trusted is not hashed: bytes that change behind the file system's back, which
 * mappings of tmpfs allow, are taken, but not more or fewer of them.
 */
static void test_trusted(void **state)
{
	(void)state;
	static const struct {
		enum change change;
		const char *words; /* NULL: the bytes are taken */
	} cases[] = {
		{OTHER, NULL},
		{FEWER, "layer 4 of 6 (3.tar): gives fewer bytes than the first time: changed"},
		{MORE, "layer 4 of 6 (3.tar): gives more bytes than the first time: changed"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stack stack __attribute__((cleanup(free_stack)));
		make_stack(&stack);
		struct memory_file file = memory_file_new(stack.bytes.data, stack.bytes.len);
		uint8_t *mapping =
			mmap(NULL, stack.bytes.len, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
		assert_true(mapping != MAP_FAILED);
		/* The first write to a page changes the file's time, later ones do not. */
		memcpy(mapping, stack.bytes.data, stack.bytes.len);
		cleanup_image struct image *image = open_trusted(&stack, file.path);
		cleanup_image_stream struct image_stream *stream = image_stream_new(image, 3);
		cleanup_buffer struct buffer other = changed_blob(cases[i].change, &stack.blobs[3]);
		cleanup_buffer struct buffer found = {0};
		struct error err;
		if (read_stream(stream, &found, &err) < 0)
			fail_msg("%s", err.message);
		assert_int_equal(found.len, stack.tars[3].len);
		assert_memory_equal(found.data, stack.tars[3].data, found.len);
		image_stream_settle(stream, &image->layers[3]);
		assert_int_equal(image->layers[3].tar_size, found.len);
		image_stream_rewind(stream);
		memcpy(mapping + image->layers[3].blob_offset, other.data, other.len);
		int r = read_stream(stream, &found, &err);
		if (cases[i].words != NULL) {
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
		} else if (r < 0) {
			fail_msg("%s", err.message);
		} else {
			assert_int_equal(found.len, stack.tars[3].len);
			assert_memory_not_equal(found.data, stack.tars[3].data, found.len);
		}
		munmap(mapping, stack.bytes.len);
		close(file.fd);
	}
}

/*
 * Its file's identity is what it is known by. Where that is another one, as after a chmod, the end
 * is given for the same bytes only.
 */
static void test_trusted_changed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		unsigned readings = i / 2;
		bool other_bytes = i % 2 == 1;
		struct stack stack __attribute__((cleanup(free_stack)));
		make_stack(&stack);
		struct memory_file file = memory_file_new(stack.bytes.data, stack.bytes.len);
		const struct timespec old[] = {{.tv_sec = 1}, {.tv_sec = 1}};
		cleanup_image struct image *image = open_trusted(&stack, file.path);
		cleanup_image_stream struct image_stream *stream = image_stream_new(image, 3);
		cleanup_buffer struct buffer other = changed_blob(OTHER, &stack.blobs[3]);
		cleanup_buffer struct buffer found = {0};
		struct error err;
		for (unsigned j = 0; j < readings; j++) {
			assert_int_equal(read_stream(stream, &found, &err), 0);
			image_stream_rewind(stream);
		}
		if (other_bytes)
			assert_int_equal(file_write_at(file.fd, other.data, other.len,
						 image->layers[3].blob_offset, "x", &err),
				0);
		assert_int_equal(futimens(file.fd, old), 0);
		int r = read_stream(stream, &found, &err);
		if (other_bytes)
			assert_error(&err, r, ERROR_INPUT,
				"layer 4 of 6 (3.tar): expected the digest sha256:");
		else if (r < 0)
			fail_msg("%s", err.message);
		close(file.fd);
	}
}

/* All that is inflated of an image counts for one limit, each layer's tar once. */
static void test_budget(void **state)
{
	(void)state;
	struct stack stack __attribute__((cleanup(free_stack)));
	make_stack(&stack);
	uint64_t compressed = 0;
	uint64_t tars = 0;
	for (size_t rank = 0; rank < LAYERS; rank++) {
		compressed += stack.blobs[by_size[rank]].len;
		tars += rank < 4 ? stack.tars[by_size[rank]].len : 0;
	}
	for (unsigned lacks = 0; lacks < 2; lacks++) {
		cleanup_image struct image *image =
			open_stack(&stack, IMAGE_TARS_STREAMED, 0, true);
		struct inflate_budget *budget = image->files->budget;
		struct error err = {0};
		assert_int_equal(budget->compressed, compressed);
		assert_int_equal(budget->used, 0);
		budget->limit = tars - lacks;
		for (size_t rank = 0; rank < 4; rank++) {
			cleanup_image_stream struct image_stream *stream =
				image_stream_new(image, by_size[rank]);
			cleanup_buffer struct buffer found = {0};
			const uint8_t *data;
			size_t len;
			/* What was given up does not count, nor does another reading. */
			for (unsigned i = 0; i < 2; i++) {
				assert_int_equal(image_stream_next(stream, &data, &len, &err), 0);
				image_stream_rewind(stream);
			}
			int r = read_stream(stream, &found, &err);
			if (rank == 3 && lacks) {
				assert_error(&err, r, ERROR_LIMIT, "taken for a compression bomb");
				break;
			}
			if (r < 0)
				fail_msg("%s", err.message);
			image_stream_rewind(stream);
			assert_int_equal(read_stream(stream, &found, &err), 0);
		}
		assert_int_equal(budget->used, tars - (lacks ? stack.tars[by_size[3]].len : 0));
	}
}

/* What is compressed within a compressed archive goes on with what that has left. */
static void test_inner_budget(void **state)
{
	(void)state;
	struct stack stack __attribute__((cleanup(free_stack)));
	make_stack(&stack);
	cleanup_buffer struct buffer outer = compress(&stack.bytes, archive_write_add_filter_gzip);
	const struct image_options options = {.tars = IMAGE_TARS_STREAMED, .later = true};
	cleanup_image struct image *image = NULL;
	struct error err;
	assert_int_equal(open_bytes(&outer, &options, &image, &err), 0);
	struct inflate_budget *budget = image->files->budget;
	assert_int_equal(budget->compressed, outer.len);
	assert_int_equal(budget->used, stack.bytes.len);
	cleanup_image_stream struct image_stream *stream = image_stream_new(image, 3);
	cleanup_buffer struct buffer found = {0};
	assert_int_equal(read_stream(stream, &found, &err), 0);
	assert_int_equal(budget->used, stack.bytes.len + stack.tars[3].len);
	/* It is there as long as the stream, and counts on. */
	image_stream_rewind(stream);
	image_free(steal_ptr(&image));
	assert_int_equal(read_stream(stream, &found, &err), 0);
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
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_trusted_changed),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_inner_budget),
		cmocka_unit_test(test_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
