/* inflate_run: what it gives back, what it refuses, and all that gzip and zstd may be made of. */
#include "image_builder.h"

#include <fcntl.h>

#include "image/drain.h"
#include "image/inflate.h"

/* Inflated bytes are the original's, zeros become holes, and the limit is kept to the byte. */
static void test_inflate(void **state)
{
	(void)state;
	size_t len = (size_t)3 << 20;
	cleanup_buffer struct buffer bytes = {0};
	uint8_t *data = buffer_reserve(&bytes, len);
	bytes.len = len;
	memset(data, 0, len);
	data[0] = 1;
	data[8191] = 2;
	memset(data + 500000, 'x', 100000);
	data[len - 1] = 3;
	cleanup_buffer struct buffer small = compress(&bytes, archive_write_add_filter_zstd);
	struct memory_file from = memory_file_new(small.data, small.len);
	for (unsigned round = 0; round < 2; round++) {
		struct memory_file to = memory_file_new("", 0);
		struct inflate_budget budget = inflate_budget("image", small.len);
		assert_int_equal(budget.limit, (uint64_t)8 << 30);
		budget.limit = len - round;
		struct inflate_job job = {.from = from.fd,
			.size = small.len,
			.format = &decode_zstd,
			.name = "bytes",
			.budget = &budget};
		struct error err;
		int r = inflate_run(&job, to.fd, 4096, &err);
		if (round == 1) {
			assert_error(&err, r, ERROR_LIMIT, "taken for a compression bomb");
			close(to.fd);
			break;
		}
		assert_int_equal(r, 0);
		assert_int_equal(job.inflated_size, len);
		struct digest digest = digest_of(data, len);
		assert_true(digest_equal(&digest, &job.inflated));
		digest = digest_of(small.data, small.len);
		assert_true(digest_equal(&digest, &job.digest));
		struct stat st;
		assert_int_equal(fstat(to.fd, &st), 0);
		assert_int_equal(st.st_size, 4096 + len);
		assert_true(st.st_blocks * 512 < 1 << 20);
		cleanup_buffer struct buffer found = memory_file_bytes(to.fd);
		assert_memory_equal(found.data + 4096, data, len);
		close(to.fd);
	}
	close(from.fd);
}

/* Inflated bytes as a sink takes them. */
struct collector {
	struct inflate_sink base;
	struct buffer bytes;
};

static void *collector_buffer(struct inflate_sink *sink)
{
	return buffer_reserve(&((struct collector *)sink)->bytes, DRAIN_CHUNK);
}

static void collector_push(struct inflate_sink *sink, size_t len)
{
	((struct collector *)sink)->bytes.len += len;
}

/* A job that is known is inflated as ever, without a digest; without a budget there is no limit. */
static void test_known(void **state)
{
	(void)state;
	static const struct digest none;
	static const struct {
		int (*filter)(struct archive *);
		const struct decode_format *format;
	} cases[] = {
		{archive_write_add_filter_gzip, &decode_gzip},
		{archive_write_add_filter_zstd, &decode_zstd},
	};
	cleanup_buffer struct buffer bytes = {0};
	unsigned seed = 1;
	size_t len = (size_t)2 << 20;
	uint8_t *data = buffer_reserve(&bytes, len);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)rand_r(&seed);
	bytes.len = len;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer packed = compress(&bytes, cases[i / 2].filter);
		struct memory_file from = memory_file_new(packed.data, packed.len);
		struct collector collector = {
			.base = {.buffer = collector_buffer, .push = collector_push}};
		struct digest digest = digest_of(packed.data, packed.len);
		struct inflate_job job = {.from = from.fd,
			.size = packed.len,
			.format = cases[i / 2].format,
			.name = "bytes",
			.is_known = i % 2 == 1};
		struct error err;
		if (inflate_into(&job, &collector.base, &err) < 0)
			fail_msg("%s", err.message);
		assert_true(digest_equal(&job.digest, job.is_known ? &none : &digest));
		assert_int_equal(job.inflated_size, bytes.len);
		assert_int_equal(collector.bytes.len, bytes.len);
		assert_memory_equal(collector.bytes.data, bytes.data, bytes.len);
		/* It is damaged all the same where it is. */
		job.size = packed.len / 2;
		int r = inflate_into(&job, &collector.base, &err);
		assert_error(&err, r, ERROR_INPUT, "bytes: is damaged: it ends within its ");
		buffer_free(&collector.bytes);
		close(from.fd);
	}
}

/* Two jobs on one budget: the second one spends what the first left, and the image is named. */
static void test_budget(void **state)
{
	(void)state;
	static const struct {
		uint64_t compressed, limit;
	} cases[] = {
		{0, (uint64_t)8 << 30},
		{(uint64_t)7 << 20, (uint64_t)8 << 30},
		{(uint64_t)8 << 20, (uint64_t)8800 << 20},
		{(uint64_t)1 << 30, (uint64_t)1 << 40},
		{UINT64_MAX, (uint64_t)1 << 40},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(inflate_budget("x", cases[i].compressed).limit, cases[i].limit);

	static const uint8_t zeros[100000];
	const struct buffer bytes = {.data = (uint8_t *)(uintptr_t)zeros, .len = sizeof(zeros)};
	cleanup_buffer struct buffer small = compress(&bytes, archive_write_add_filter_gzip);
	struct memory_file from = memory_file_new(small.data, small.len);
	for (unsigned extra = 0; extra < 2; extra++) {
		struct inflate_budget budget = inflate_budget("the image", 2 * small.len);
		budget.limit = 2 * sizeof(zeros) - extra;
		for (unsigned round = 0; round < 2; round++) {
			struct memory_file to = memory_file_new("", 0);
			struct inflate_job job = {.from = from.fd,
				.size = small.len,
				.format = &decode_gzip,
				.name = "a layer",
				.budget = &budget};
			struct error err;
			int r = inflate_run(&job, to.fd, 0, &err);
			close(to.fd);
			if (round == 0 || extra == 0) {
				assert_int_equal(r, 0);
				continue;
			}
			cleanup_free char *words = xasprintf(
				"the image: %zu compressed bytes give more than the limit of "
				"199999: taken for a compression bomb",
				2 * small.len);
			assert_error(&err, r, ERROR_LIMIT, words);
			assert_null(strstr(err.message, "layer"));
		}
	}
	close(from.fd);
}

/* Inflates bytes; *out gets what they give. */
static int inflate_bytes(const struct buffer *bytes, struct buffer *out, struct error *err)
{
	struct memory_file from = memory_file_new(bytes->data, bytes->len);
	struct memory_file to = memory_file_new("", 0);
	struct inflate_budget budget = inflate_budget("image", bytes->len);
	struct inflate_job job = {
		.from = from.fd, .size = bytes->len, .name = "bytes", .budget = &budget};
	int r = inflate_detect(from.fd, 0, bytes->len, "bytes", &job.format, err);
	assert_int_equal(r, 0);
	assert_non_null(job.format);
	r = inflate_run(&job, to.fd, 0, err);
	close(from.fd);
	if (r == 0) {
		*out = memory_file_bytes(to.fd);
		struct digest digest = digest_of(out->data, out->len);
		assert_true(digest_equal(&digest, &job.inflated));
		assert_int_equal(out->len, job.inflated_size);
		digest = digest_of(bytes->data, bytes->len);
		assert_true(digest_equal(&digest, &job.digest));
	}
	close(to.fd);
	return r;
}

enum { GZIP, ZSTD, XZ, BZIP2 };

static int (*const filters[])(struct archive *) = {archive_write_add_filter_gzip,
	archive_write_add_filter_zstd, archive_write_add_filter_xz, archive_write_add_filter_bzip2};

static void add_random(struct buffer *bytes, size_t len, unsigned *seed)
{
	/* Runs of few letters: something to find for a compressor, and zeros for holes. */
	uint8_t *data = buffer_reserve(bytes, len);
	for (size_t i = 0; i < len;) {
		size_t run = (size_t)rand_r(seed) % 6000;
		uint8_t letter = (uint8_t)(rand_r(seed) % 3 == 0 ? 0 : rand_r(seed));
		bool is_noise = rand_r(seed) % 4 == 0;
		for (; run > 0 && i < len; run--, i++)
			data[i] = is_noise ? (uint8_t)rand_r(seed) : letter;
	}
	bytes->len += len;
}

/* A member's header with all that RFC 1952 allows in it: text, a checksum, extra, name, comment. */
static void add_full_header(struct buffer *out, const struct buffer *member)
{
	cleanup_buffer struct buffer header = {0};
	buffer_add(&header, "\x1f\x8b\x08\x1f\0\0\0\0\0\xff", 10);
	buffer_add(&header, "\x0a\0SG\x06\0STARGZ", 12);
	buffer_add(&header, "name\0comment\0", 13);
	uint32_t crc = 0xffffffff;
	for (size_t i = 0; i < header.len; i++) {
		crc ^= header.data[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	crc = ~crc;
	const uint8_t sum[] = {(uint8_t)crc, (uint8_t)(crc >> 8)};
	buffer_add(&header, sum, sizeof(sum));
	buffer_add(out, header.data, header.len);
	/* libarchive's header has ten bytes and nothing else. */
	assert_int_equal(member->data[3], 0);
	buffer_add(out, member->data + 10, member->len - 10);
}

/*
 * Any number of pieces of any length, with what eStargz and zstd:chunked put between and behind
 * them: gzip members with extra fields and without data, skippable frames.
 */
static void test_pieces(void **state)
{
	(void)state;
	unsigned seed = test_seed();
	for (unsigned round = 0; round < 60; round++) {
		int (*filter)(struct archive *) = filters[round % 4];
		cleanup_buffer struct buffer plain = {0};
		cleanup_buffer struct buffer packed = {0};
		unsigned pieces = 1 + (unsigned)rand_r(&seed) % 6;
		for (unsigned i = 0; i < pieces; i++) {
			cleanup_buffer struct buffer piece = {0};
			size_t most = rand_r(&seed) % 3 == 0 ? 700000 : 3000;
			add_random(&piece, (size_t)rand_r(&seed) % most, &seed);
			cleanup_buffer struct buffer small = compress(&piece, filter);
			if (filter == archive_write_add_filter_gzip && rand_r(&seed) % 2 == 0)
				add_full_header(&packed, &small);
			else
				buffer_add(&packed, small.data, small.len);
			if (filter == archive_write_add_filter_zstd && rand_r(&seed) % 2 == 0)
				buffer_add(&packed, "\x50\x2a\x4d\x18\x05\0\0\0index", 13);
			buffer_add(&plain, piece.data, piece.len);
		}
		cleanup_buffer struct buffer found = {0};
		struct error err;
		if (inflate_bytes(&packed, &found, &err) < 0)
			fail_msg("round %u: %s", round, err.message);
		assert_int_equal(found.len, plain.len);
		if (plain.len > 0)
			assert_memory_equal(found.data, plain.data, plain.len);
	}
}

/*
 * All input is read while some of the output waits for the next buffer: the last block of zstd's
 * second frame begins in one of DRAIN_CHUNK bytes and ends in the next.
 */
static void test_held_back(void **state)
{
	(void)state;
	static const size_t lens[] = {1000, DRAIN_CHUNK};
	for (size_t f = 0; f < 4; f++) {
		cleanup_buffer struct buffer plain = {0};
		cleanup_buffer struct buffer packed = {0};
		for (size_t i = 0; i < 2; i++) {
			cleanup_buffer struct buffer piece = {0};
			memset(buffer_reserve(&piece, lens[i]), 'a' + (int)i, lens[i]);
			piece.len = lens[i];
			cleanup_buffer struct buffer small = compress(&piece, filters[f]);
			buffer_add(&packed, small.data, small.len);
			buffer_add(&plain, piece.data, piece.len);
		}
		cleanup_buffer struct buffer found = {0};
		struct error err;
		if (inflate_bytes(&packed, &found, &err) < 0)
			fail_msg("%zu: %s", f, err.message);
		assert_int_equal(found.len, plain.len);
		assert_memory_equal(found.data, plain.data, plain.len);
	}
}

/* Cut anywhere, it is refused; with a byte changed, too, or it gives the same as before. */
static void test_damage(void **state)
{
	(void)state;
	unsigned seed = test_seed();
	cleanup_buffer struct buffer plain = {0};
	for (unsigned i = 0; i < 10; i++)
		add_random(&plain, 300, &seed);
	for (size_t f = 0; f < 4; f++) {
		cleanup_buffer struct buffer packed = compress(&plain, filters[f]);
		for (size_t len = 8; len < packed.len; len++) {
			struct buffer cut = {.data = xmemdup(packed.data, len), .len = len};
			cleanup_buffer struct buffer found = {0};
			struct error err;
			int r = inflate_bytes(&cut, &found, &err);
			buffer_free(&cut);
			if (r == 0)
				fail_msg("%zu: cut at %zu of %zu, taken", f, len, packed.len);
			assert_error(&err, r, ERROR_INPUT, "bytes: ");
		}
	}
	/* gzip's sum covers all that it holds. */
	cleanup_buffer struct buffer packed = compress(&plain, filters[0]);
	for (size_t at = 10; at < packed.len; at++) {
		cleanup_buffer struct buffer found = {0};
		struct error err;
		packed.data[at] ^= 1;
		int r = inflate_bytes(&packed, &found, &err);
		packed.data[at] ^= 1;
		if (r < 0) {
			assert_error(&err, r, ERROR_INPUT, "bytes: is damaged: ");
			continue;
		}
		/* A bit that only fills up a byte. */
		assert_true(at < packed.len - 8);
		assert_int_equal(found.len, plain.len);
		assert_memory_equal(found.data, plain.data, plain.len);
	}
}

/* What may follow the end: zeros, where the format or tar fills up with them, and more of it. */
static void test_tail(void **state)
{
	(void)state;
	static const struct {
		size_t format; /* of filters */
		const char *tail;
		size_t len;
		const char *words; /* NULL: it is right */
	} cases[] = {
		{GZIP, "", 0, NULL},
		{GZIP, "\0", 1, NULL},
		{GZIP, "\0\0\0\0\0\0\0\0\0\0\0\0", 12, NULL},
		{GZIP, "x", 1, "bytes: is damaged: other data follows the end of its gzip data"},
		{GZIP, "\0\0x", 3, "other data follows the end of its gzip data"},
		{GZIP, "\x1f", 1, "bytes: is damaged: it ends within its gzip data"},
		{GZIP, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10, "it ends within its gzip data"},
		{GZIP, "\x1f\x8b\x07\0\0\0\0\0\0\xff", 10, "other data follows the end"},
		{GZIP, "\x1fxxxxxxxxxxxxxxxxx", 18, "other data follows the end"},
		{GZIP, "\x1f\x8b\x08\0\0\0\0\0\0\xff\x07", 11, "its gzip data is wrong"},
		{ZSTD, "", 0, NULL},
		{ZSTD, "\x50\x2a\x4d\x18\x01\0\0\0x", 9, NULL},
		{ZSTD, "garbage\n", 8, "other data follows the end of its zstd data"},
		{ZSTD, "\0\0\0\0\0\0\0\0", 8, "other data follows the end of its zstd data"},
		{ZSTD, "\x28\xb5", 2, "it ends within its zstd data"},
		{XZ, "\0\0\0\0", 4, NULL},
		{XZ, "\0\0\0", 3, "the zeros after its xz data are no multiple of 4 bytes"},
		{XZ, "x", 1, "other data follows the end of its xz data"},
		{XZ, "\0\0\0\0x", 5, "other data follows the end of its xz data"},
		{XZ,
			"\xfd"
			"7zXZxxxxxxxxxxxx",
			17, "other data follows the end of its xz data"},
		{XZ, "\xfd", 1, "it ends within its xz data"},
		{BZIP2, "\0\0\0\0\0", 5, NULL},
		{BZIP2, "x", 1, "other data follows the end of its bzip2 data"},
		{BZIP2, "\0\0\0\0x", 5, "other data follows the end of its bzip2 data"},
	};
	const struct buffer text = {.data = (uint8_t *)(uintptr_t) "text", .len = 4};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer packed = compress(&text, filters[cases[i].format]);
		buffer_add(&packed, cases[i].tail, cases[i].len);
		cleanup_buffer struct buffer found = {0};
		struct error err;
		int r = inflate_bytes(&packed, &found, &err);
		if (cases[i].words != NULL) {
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
			continue;
		}
		if (r < 0)
			fail_msg("%zu: %s", i, err.message);
		assert_int_equal(found.len, 4);
		assert_memory_equal(found.data, "text", 4);
	}
}

/* Nothing at all, in each format and twice. */
static void test_empty(void **state)
{
	(void)state;
	const struct buffer none = {0};
	for (size_t f = 0; f < 4; f++) {
		cleanup_buffer struct buffer packed = compress(&none, filters[f]);
		for (unsigned round = 0; round < 2; round++) {
			cleanup_buffer struct buffer found = {0};
			struct error err;
			if (inflate_bytes(&packed, &found, &err) < 0)
				fail_msg("%zu: %s", f, err.message);
			assert_int_equal(found.len, 0);
			cleanup_buffer struct buffer once = {0};
			buffer_add(&once, packed.data, packed.len);
			buffer_add(&packed, once.data, once.len);
		}
	}
}

/* What takes more memory than is given says how much, and how much is given. */
static void test_memory(void **state)
{
	(void)state;
	static const struct {
		const char *head;
		size_t len;
		const char *words;
	} cases[] = {
		/* Window descriptors 0xa8 (2 GiB), 0x89 (144 MiB), and a single segment of 1 GiB.
		 */
		{"\x28\xb5\x2f\xfd\x00\xa8\x01\0\0xxxxxxxxxxx", 20,
			"needs a window of 2048 MiB for its zstd data; the limit is 128 MiB"},
		{"\x28\xb5\x2f\xfd\x00\x89\x01\0\0xxxxxxxxxxx", 20,
			"needs a window of 144 MiB for its zstd data; the limit is 128 MiB"},
		{"\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x40xxxxxxxxxxx", 20,
			"needs a window of 1024 MiB for its zstd data; the limit is 128 MiB"},
		/* A stream header without a check, and a block of LZMA2 with a dictionary of 4 GiB.
		 */
		{"\xfd"
		 "7zXZ\0\0\0\xff\x12\xd9\x41\x02\0\x21\x01\x28\0\0\0\xe6\xa0\x11\xb3",
			24, "of memory for its xz dictionary; the limit is 160 MiB"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buffer packed = {
			.data = (uint8_t *)(uintptr_t)cases[i].head, .len = cases[i].len};
		cleanup_buffer struct buffer found = {0};
		struct error err;
		int r = inflate_bytes(&packed, &found, &err);
		assert_error(&err, r, ERROR_LIMIT, cases[i].words);
	}
}

/* A file that cannot take the bytes: the writer's words come through. */
static void test_full_disk(void **state)
{
	(void)state;
	unsigned seed = 1;
	cleanup_buffer struct buffer plain = {0};
	add_random(&plain, (size_t)4 << 20, &seed);
	cleanup_buffer struct buffer packed = compress(&plain, filters[1]);
	struct memory_file from = memory_file_new(packed.data, packed.len);
	struct inflate_budget budget = inflate_budget("image", packed.len);
	for (unsigned round = 0; round < 2; round++) {
		struct memory_file to = memory_file_new("", 0);
		/* Sealed at the second chunk's end, or from the first byte on. */
		assert_int_equal(ftruncate(to.fd, round == 0 ? 512 << 10 : 0), 0);
		cleanup_free char *path = xasprintf("/proc/self/fd/%d", to.fd);
		int only_read = round == 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
		if (round == 0)
			assert_int_equal(fcntl(to.fd, F_ADD_SEALS, F_SEAL_GROW), 0);
		struct inflate_job job = {.from = from.fd,
			.size = packed.len,
			.format = &decode_zstd,
			.name = "bytes",
			.budget = &budget};
		struct error err;
		int r = inflate_run(&job, round == 0 ? to.fd : only_read, 0, &err);
		assert_error(&err, r, ERROR_OUTPUT, "a temporary file: cannot write");
		if (only_read >= 0)
			close(only_read);
		close(to.fd);
	}
	close(from.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inflate),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_held_back),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_full_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
