/* Compressed streams: the same for any number of threads, and what every reader takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "image/deflate_block.h"
#include "image/encode.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

#include "random_tree.h"

/* The kinds of data, from one that shrinks to nothing to one that cannot shrink. */
enum kind { ZEROS, WORDS, MIXED, NOISE, KINDS };

static void fill(struct random *random, enum kind kind, struct buffer *out, size_t len)
{
	static const char *const words[] = {"root", "usr/lib/", "\0\0\0\0", "0000644", "x", "lib"};
	uint8_t *to = buffer_reserve(out, len);
	out->len += len;
	memset(to, 0, len);
	for (size_t i = 0; kind != ZEROS && i < len;) {
		bool is_word = kind == WORDS || (kind == MIXED && random_below(random, 4) != 0);
		const char *word = words[random_below(random, sizeof(words) / sizeof(words[0]))];
		size_t n = is_word ? strlen(word) + 1 : 1;
		if (n > len - i)
			n = len - i;
		if (is_word)
			memcpy(to + i, word, n);
		else
			to[i] = (uint8_t)random_below(random, 256);
		i += n;
	}
}

/* Where a stream goes: to memory, until that is full. */
struct collector {
	struct buffer bytes;
	size_t room; /* 0: without end */
};

static int collect(void *context, const void *data, size_t len, struct error *err)
{
	struct collector *collector = context;
	buffer_add(&collector->bytes, data, len);
	if (collector->room != 0 && collector->bytes.len > collector->room)
		return error_set(err, ERROR_OUTPUT, ENOSPC, "full");
	return 0;
}

/* Data in pieces of random lengths, as one stream. Returns what failed. */
static int encode(const struct encode_format *format, unsigned threads, struct random *random,
	const struct buffer *data, struct collector *collector, struct error *err)
{
	const struct encode_out out = {.write = collect, .context = collector};
	void *state = NULL;
	int r = format->open(&out, threads, &state, err);
	for (size_t at = 0; r == 0 && at < data->len;) {
		size_t most = random_below(random, 8) == 0 ? 3u << 20 : 300000;
		size_t n = 1 + random_below(random, (uint32_t)most);
		n = n < data->len - at ? n : data->len - at;
		r = format->write(state, data->data + at, n, err);
		at += n;
	}
	if (r == 0)
		r = format->finish(state, err);
	format->close(state);
	return r;
}

static void assert_same(const struct buffer *found, const struct buffer *expected, const char *what)
{
	if (found->len != expected->len)
		fail_msg("%s: %zu bytes, expected %zu", what, found->len, expected->len);
	if (found->len > 0 && memcmp(found->data, expected->data, found->len) != 0)
		fail_msg("%s: other bytes", what);
}

/* One member of gzip, from the first byte to the last. */
static void read_gzip(const struct buffer *stream, struct buffer *out, size_t expected)
{
	z_stream z = {.next_in = stream->data, .avail_in = (uInt)stream->len};
	assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
	z.next_out = buffer_reserve(out, expected + 1);
	z.avail_out = (uInt)expected + 1;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	out->len += z.total_out;
	inflateEnd(&z);
}

/* One frame of zstd. */
static void read_zstd(const struct buffer *stream, struct buffer *out, size_t expected)
{
	assert_int_equal(ZSTD_findFrameCompressedSize(stream->data, stream->len), stream->len);
	size_t n = ZSTD_decompress(
		buffer_reserve(out, expected + 1), expected + 1, stream->data, stream->len);
	assert_false(ZSTD_isError(n));
	out->len += n;
}

static const struct {
	const char *name;
	const struct encode_format *format;
	void (*read)(const struct buffer *stream, struct buffer *out, size_t expected);
} formats[] = {{"gzip", &encode_gzip, read_gzip}, {"zstd", &encode_zstd, read_zstd}};

/* Sizes at the borders of gzip's pieces, and in between: the largest is six jobs of zstd's. */
static void test_threads(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, DEFLATE_PIECE - 1, DEFLATE_PIECE, DEFLATE_PIECE + 1,
		2 * DEFLATE_PIECE, 11 * DEFLATE_PIECE + 12345};
	static const unsigned threads[] = {1, 2, ENCODE_THREADS_MAX};
	struct random random = {random_seed()};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		enum kind kind = (enum kind)random_below(&random, KINDS);
		cleanup_buffer struct buffer data = {0};
		fill(&random, kind, &data, sizes[i]);
		for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
			struct collector streams[3] = {0};
			struct error err;
			cleanup_free char *what =
				xasprintf("%s of %zu, kind %d", formats[f].name, sizes[i], kind);
			for (size_t t = 0; t < 3; t++) {
				if (encode(formats[f].format, threads[t], &random, &data,
					    &streams[t], &err) < 0)
					fail_msg("%s: %s", what, err.message);
				assert_same(&streams[t].bytes, &streams[0].bytes, what);
			}
			cleanup_buffer struct buffer read = {0};
			formats[f].read(&streams[0].bytes, &read, data.len);
			assert_same(&read, &data, what);
			for (size_t t = 0; t < 3; t++)
				buffer_free(&streams[t].bytes);
		}
	}
}

/* Pieces end at every bit of a byte; joined they are one stream. */
static void test_pieces(void **state)
{
	(void)state;
	static const uint8_t last[] = {0x03, 0x00};
	struct random random = {random_seed()};
	cleanup_buffer struct buffer data = {0};
	cleanup_buffer struct buffer stream = {0};
	cleanup_deflater struct deflater *deflater = NULL;
	struct error err;
	assert_int_equal(deflater_new(&deflater, &err), 0);
	for (unsigned i = 0; i < 300; i++) {
		size_t len = 1 + random_below(&random, i % 30 == 0 ? DEFLATE_PIECE : 2000);
		size_t start = data.len, deflated;
		fill(&random, (enum kind)random_below(&random, KINDS), &data, len);
		uint8_t *to = buffer_reserve(&stream, deflate_piece_max());
		if (deflate_piece(deflater, data.data + start, len, to, &deflated, &err) < 0)
			fail_msg("%s", err.message);
		assert_true(deflated <= deflate_piece_max());
		stream.len += deflated;
	}
	buffer_add(&stream, last, sizeof(last));
	z_stream z = {.next_in = stream.data, .avail_in = (uInt)stream.len};
	cleanup_buffer struct buffer read = {0};
	assert_int_equal(inflateInit2(&z, -MAX_WBITS), Z_OK);
	z.next_out = buffer_reserve(&read, data.len + 1);
	z.avail_out = (uInt)data.len + 1;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	read.len = z.total_out;
	inflateEnd(&z);
	assert_same(&read, &data, "pieces");
}

/* A libzstd that was built without threads. */
static bool lacks_threads;

/* NOLINTNEXTLINE(readability-identifier-naming): stands before the library's own. */
size_t ZSTD_CCtx_setParameter(ZSTD_CCtx *context, ZSTD_cParameter parameter, int value)
{
	size_t (*library)(ZSTD_CCtx *, ZSTD_cParameter, int);
	if (lacks_threads && parameter == ZSTD_c_nbWorkers)
		return (size_t)-ZSTD_error_parameter_unsupported;
	*(void **)&library = dlsym(RTLD_NEXT, "ZSTD_CCtx_setParameter");
	return library(context, parameter, value);
}

/* It would give other bytes. */
static void test_lacks_threads(void **state)
{
	(void)state;
	struct collector unused = {0};
	const struct encode_out out = {.write = collect, .context = &unused};
	void *stream = NULL;
	struct error err;
	lacks_threads = true;
	int r = encode_zstd.open(&out, 2, &stream, &err);
	lacks_threads = false;
	assert_int_equal(r, -ENOTSUP);
	assert_int_equal(err.kind, ERROR_INTERNAL);
	assert_non_null(strstr(err.message, "refuses 2 as its number of threads: "));
	assert_null(stream);
}

static void run_gzip(int from, int to)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (dup2(from, STDIN_FILENO) >= 0 && dup2(to, STDOUT_FILENO) >= 0)
			execlp("gzip", "gzip", "-dc", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Without a word and with status 0. */
static void test_gzip_program(void **state)
{
	(void)state;
	struct random random = {random_seed()};
	cleanup_buffer struct buffer data = {0};
	cleanup_buffer struct buffer read = {0};
	struct collector stream = {0};
	struct error err;
	fill(&random, MIXED, &data, 3 * DEFLATE_PIECE + 17);
	assert_int_equal(encode(&encode_gzip, 2, &random, &data, &stream, &err), 0);
	cleanup_close int from = memfd_create("stream", MFD_CLOEXEC);
	cleanup_close int to = memfd_create("data", MFD_CLOEXEC);
	assert_int_equal(
		file_write_at(from, stream.bytes.data, stream.bytes.len, 0, "stream", &err), 0);
	run_gzip(from, to);
	assert_int_equal(lseek(to, 0, SEEK_SET), 0);
	assert_int_equal(file_read_all(to, 1u << 30, &read, "data", &err), 0);
	assert_same(&read, &data, "gzip -dc");
	buffer_free(&stream.bytes);
}

/* A reader that takes no more: its error comes out, and threads end. So they do where all is left.
 */
static void test_failures(void **state)
{
	(void)state;
	static const size_t rooms[] = {5, 100000, 2500000};
	struct random random = {random_seed()};
	cleanup_buffer struct buffer data = {0};
	fill(&random, NOISE, &data, 9 * DEFLATE_PIECE);
	for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
		struct error err;
		void *left = NULL;
		for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
			struct collector full = {.room = rooms[i]};
			int r = encode(formats[f].format, 2, &random, &data, &full, &err);
			assert_int_equal(r, -ENOSPC);
			assert_int_equal(err.kind, ERROR_OUTPUT);
			assert_string_equal(err.message, "full");
			buffer_free(&full.bytes);
		}
		struct collector unused = {0};
		const struct encode_out out = {.write = collect, .context = &unused};
		assert_int_equal(formats[f].format->open(&out, 8, &left, &err), 0);
		assert_int_equal(formats[f].format->write(left, data.data, data.len, &err), 0);
		size_t before = unused.bytes.len;
		formats[f].format->close(left);
		assert_int_equal(unused.bytes.len, before);
		buffer_free(&unused.bytes);
		formats[f].format->close(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_lacks_threads),
		cmocka_unit_test(test_gzip_program),
		cmocka_unit_test(test_failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
