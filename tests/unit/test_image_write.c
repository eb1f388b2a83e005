/* image_write: the same bytes every time, and an archive that reads back as what went in. */
#include "image_builder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "image/json_safe.h"
#include "image/tar_out.h"
#include "support/interrupt.h"

/* A base with a plain, a gzip and a zstd layer, the first of which comes twice. */
static struct image *open_base(void)
{
	static int (*const filters[])(struct archive *) = {
		NULL, archive_write_add_filter_gzip, archive_write_add_filter_zstd};
	struct buffer tars[4];
	cleanup_buffer struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	for (size_t i = 0; i < 3; i++) {
		char name[2] = {(char)('0' + i), '\0'};
		tars[i] = make_layer(name);
		cleanup_buffer struct buffer blob = compress(&tars[i], filters[i]);
		builder_file(archive, name, blob.data, blob.len);
	}
	tars[3] = tars[0];
	cleanup_free char *config = make_config("\"config\":{\"Cmd\":[\"x\"]},", tars, 4);
	builder_text(archive, "c.json", config);
	builder_text(archive, "manifest.json",
		"[{\"Config\":\"c.json\",\"RepoTags\":[\"base:1\"],"
		"\"Layers\":[\"0\",\"1\",\"2\",\"0\"]}]");
	builder_end(archive);
	struct image *image;
	struct error err;
	assert_int_equal(open_bytes(&bytes, NULL, &image, &err), 0);
	for (size_t i = 0; i < 3; i++)
		buffer_free(&tars[i]);
	return image;
}

static const char *const tags[] = {"new:1", "registry.example:5000/x/y", NULL};

struct new_layer {
	struct buffer tar;
	struct memory_file file;
	struct image_new_layer layer;
};

static struct new_layer make_new_layer(void)
{
	struct new_layer made = {.tar = make_layer("the new layer")};
	made.file = memory_file_new(made.tar.data, made.tar.len);
	made.layer = (struct image_new_layer){
		.fd = made.file.fd,
		.size = made.tar.len,
		.diff_id = digest_of(made.tar.data, made.tar.len),
		.created_by = "run",
	};
	return made;
}

static void free_new_layer(struct new_layer *made)
{
	close(made->file.fd);
	buffer_free(&made->tar);
}

static struct buffer write_bytes(const struct image *base,
	const struct image_write_options *options, struct image_written *written)
{
	struct memory_file out = memory_file_new("", 0);
	struct error err;
	if (image_write(out.fd, base, options, written, &err) < 0)
		fail_msg("%s", err.message);
	/* The position is behind the archive. */
	off_t position = lseek(out.fd, 0, SEEK_CUR);
	struct buffer bytes = memory_file_bytes(out.fd);
	assert_int_equal(position, bytes.len);
	close(out.fd);
	return bytes;
}

static void test_round_trip(void **state)
{
	(void)state;
	cleanup_image struct image *base = open_base();
	struct new_layer made = make_new_layer();
	for (int compression = IMAGE_PLAIN; compression <= IMAGE_ZSTD; compression++) {
		struct image_write_options options = {
			.tags = tags,
			.architecture = "amd64",
			.created = 1,
			.layer = &made.layer,
			.compression = (enum image_compression)compression,
		};
		struct image_written written[2];
		cleanup_buffer struct buffer bytes = write_bytes(base, &options, &written[0]);
		cleanup_buffer struct buffer again = write_bytes(base, &options, &written[1]);
		assert_int_equal(bytes.len, again.len);
		assert_memory_equal(bytes.data, again.data, bytes.len);
		assert_memory_equal(&written[0], &written[1], sizeof(written[0]));
		/* RFC 1952: deflate, no name or other field, no time. */
		if (compression == IMAGE_GZIP)
			assert_memory_equal(bytes.data, "\x1f\x8b\x08\0\0\0\0\0", 8);

		static const char *const wanted[] = {NULL, "new", "registry.example:5000/x/y"};
		for (size_t w = 0; w < 3; w++) {
			struct image_options open_options = {
				.name = wanted[w], .tag = w == 2 ? "latest" : "1"};
			cleanup_image struct image *image = NULL;
			struct error err;
			if (open_bytes(&bytes, &open_options, &image, &err) < 0)
				fail_msg("%s", err.message);
			assert_string_equal(
				image->name, w == 2 ? "registry.example:5000/x/y:latest" : "new:1");
			assert_int_equal(image->layer_count, 5);
			for (size_t i = 0; i < 4; i++) {
				assert_true(digest_equal(
					&image->layers[i].digest, &base->layers[i].digest));
				assert_true(digest_equal(
					&image->layers[i].diff_id, &base->layers[i].diff_id));
				assert_string_equal(
					image->layers[i].media_type, base->layers[i].media_type);
			}
			assert_layer(&image->layers[4], &made.tar);
			cleanup_buffer struct buffer text = {0};
			json_put_text(image->config, &text);
			struct digest id = digest_of(text.data, text.len);
			assert_true(digest_equal(&id, &written[0].image_id));
		}
	}
	free_new_layer(&made);
}

/* The same archive without manifest.json is an OCI layout with the same image. */
static void test_oci_half(void **state)
{
	(void)state;
	cleanup_image struct image *base = open_base();
	struct image_write_options options = {.tags = tags, .architecture = "s390x", .created = 1};
	struct image_written written;
	cleanup_buffer struct buffer bytes = write_bytes(base, &options, &written);
	uint8_t *name = memmem(bytes.data, bytes.len, "manifest.json", 14);
	assert_non_null(name);
	/* Its name in the header, and the header's sum, which is over the name. */
	memcpy(name, "manifesf.json", 13);
	unsigned sum = (unsigned)strtoul((char *)name + 148, NULL, 8) - ('t' - 'f');
	snprintf((char *)name + 148, 8, "%06o", sum);
	struct image_options open_options = {
		.name = "registry.example:5000/x/y", .tag = "latest", .architecture = "amd64"};
	cleanup_image struct image *image = NULL;
	struct error err;
	if (open_bytes(&bytes, &open_options, &image, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(image->name, "registry.example:5000/x/y:latest");
	assert_int_equal(image->layer_count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_true(digest_equal(&image->layers[i].digest, &base->layers[i].digest));
}

/* Members in order, each blob once, fixed metadata. */
static void test_members(void **state)
{
	(void)state;
	cleanup_image struct image *base = open_base();
	struct new_layer made = make_new_layer();
	struct image_write_options options = {
		.tags = tags, .architecture = "amd64", .created = 1, .layer = &made.layer};
	struct image_written written;
	cleanup_buffer struct buffer bytes = write_bytes(base, &options, &written);
	struct archive *archive = archive_read_new();
	cleanup_buffer struct buffer list = {0};
	archive_read_support_format_tar(archive);
	assert_int_equal(archive_read_open_memory(archive, bytes.data, bytes.len), ARCHIVE_OK);
	struct archive_entry *entry;
	while (archive_read_next_header(archive, &entry) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(entry);
		bool is_blob = strlen(name) == 13 + 64;
		buffer_printf(&list, "%.*s %o %lld:%lld %lld\n", is_blob ? 13 : 100, name,
			archive_entry_mode(entry), (long long)archive_entry_uid(entry),
			(long long)archive_entry_gid(entry), (long long)archive_entry_mtime(entry));
	}
	archive_read_free(archive);
	free_new_layer(&made);
	buffer_add(&list, "", 1);
	assert_string_equal((char *)list.data,
		"blobs/ 40755 0:0 0\n"
		"blobs/sha256/ 40755 0:0 0\n"
		"blobs/sha256/ 100644 0:0 0\n" /* three of the base's layers, */
		"blobs/sha256/ 100644 0:0 0\n"
		"blobs/sha256/ 100644 0:0 0\n"
		"blobs/sha256/ 100644 0:0 0\n" /* the new one, */
		"blobs/sha256/ 100644 0:0 0\n" /* the config, */
		"blobs/sha256/ 100644 0:0 0\n" /* the manifest */
		"index.json 100644 0:0 0\n"
		"manifest.json 100644 0:0 0\n"
		"oci-layout 100644 0:0 0\n");
	assert_int_equal(bytes.len % 512, 0);
}

/* The bytes are the same on every machine: their digests, computed by another program. */
static void test_golden(void **state)
{
	(void)state;
	static const char *const golden_tags[] = {"golden:1", NULL};
	static const char zeros[1024];
	struct memory_file file = memory_file_new(zeros, sizeof(zeros));
	struct image_new_layer layer = {
		.fd = file.fd,
		.size = sizeof(zeros),
		.diff_id = digest_of(zeros, sizeof(zeros)),
		.created_by = "true",
	};
	cleanup_image struct image *base = image_scratch();
	cleanup_json json_object *config = json_tokener_parse("{\"Cmd\":[\"/bin/sh\"]}");
	struct image_write_options options = {
		.tags = golden_tags,
		.architecture = "amd64",
		.created = 1,
		.config = config,
		.layer = &layer,
	};
	struct image_written written;
	cleanup_buffer struct buffer bytes = write_bytes(base, &options, &written);
	char text[DIGEST_TEXT_SIZE];
	struct digest digest = digest_of(bytes.data, bytes.len);
	close(file.fd);
	assert_string_equal(digest_text(&written.image_id, text),
		"sha256:38a5a30e45b03e393f2b61e2f1d65ba213f45b0cf2d1fe3a9d0540ef22ba85f8");
	assert_string_equal(digest_text(&written.manifest, text),
		"sha256:18312e731d5dfcf27e1e913b665596036a8c079457d6fb28507ba32cb00646b6");
	assert_string_equal(digest_text(&digest, text),
		"sha256:07bd18bf306bd39c66a9e964225eb446c1ea9470ab0b05f574a88e025a23c8e3");
}

/* From eight GiB on the size stands in a pax record. */
static void test_big_sizes(void **state)
{
	(void)state;
	static const struct {
		uint64_t size;
		size_t header; /* its bytes */
	} cases[] = {
		{0, 512},
		{(1ull << 33) - 1, 512},
		{1ull << 33, 1536},
		{9999999999, 1536},
		{10000000000, 1536},
		{1ull << 40, 1536},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct memory_file out = memory_file_new("", 0);
		struct sink *sink;
		struct error err;
		assert_int_equal(sink_open(out.fd, IMAGE_PLAIN, &sink, &err), 0);
		assert_int_equal(tar_out_file_header(sink, "big", cases[i].size, &err), 0);
		assert_int_equal(sink_finish(sink, &err), 0);
		sink_free(sink);
		cleanup_buffer struct buffer bytes = memory_file_bytes(out.fd);
		close(out.fd);
		assert_int_equal(bytes.len, cases[i].header);
		struct archive *archive = archive_read_new();
		struct archive_entry *entry;
		archive_read_support_format_tar(archive);
		assert_int_equal(
			archive_read_open_memory(archive, bytes.data, bytes.len), ARCHIVE_OK);
		assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
		assert_string_equal(archive_entry_pathname(entry), "big");
		assert_int_equal(archive_entry_size(entry), cases[i].size);
		archive_read_free(archive);
	}
}

/* An archive in a pipe is the archive in a file. */
static void test_pipe(void **state)
{
	(void)state;
	cleanup_image struct image *base = open_base();
	struct image_write_options options = {.tags = tags, .architecture = "amd64"};
	struct image_written written;
	cleanup_buffer struct buffer bytes = write_bytes(base, &options, &written);
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= (int)bytes.len);
	struct error err;
	assert_int_equal(image_write(ends[1], base, &options, &written, &err), 0);
	close(ends[1]);
	cleanup_buffer struct buffer piped = {0};
	assert_int_equal(file_read_all(ends[0], 1 << 20, &piped, "pipe", &err), 0);
	close(ends[0]);
	assert_int_equal(piped.len, bytes.len);
	assert_memory_equal(piped.data, bytes.data, bytes.len);
}

/* The bytes are the same where the base's layers were begun with before the rest was known. */
static void test_begun(void **state)
{
	(void)state;
	cleanup_image struct image *base = open_base();
	struct new_layer made = make_new_layer();
	for (int compression = IMAGE_PLAIN; compression <= IMAGE_ZSTD; compression++) {
		struct image_write_options options = {
			.tags = tags,
			.architecture = "amd64",
			.layer = &made.layer,
			.compression = (enum image_compression)compression,
		};
		cleanup_image_writer struct image_writer *writer = NULL;
		cleanup_report struct report *report = report_new(REPORT_QUIET, -1);
		struct memory_file out = memory_file_new("", 0);
		struct image_written written[2];
		struct report_time time;
		struct error err;
		cleanup_buffer struct buffer expected = write_bytes(base, &options, &written[0]);
		assert_int_equal(image_writer_new(out.fd, options.compression, &writer, &err), 0);
		image_writer_start(writer, base, report);
		image_writer_start(writer, base, report);
		/* The options' own compression does not matter. */
		options.compression = IMAGE_PLAIN;
		if (image_writer_finish(writer, base, &options, &written[1], &err) < 0)
			fail_msg("%s", err.message);
		cleanup_buffer struct buffer bytes = memory_file_bytes(out.fd);
		close(out.fd);
		assert_int_equal(bytes.len, expected.len);
		assert_memory_equal(bytes.data, expected.data, bytes.len);
		assert_memory_equal(&written[0], &written[1], sizeof(written[0]));
		assert_true(report_time(report, 0, &time));
		assert_string_equal(time.name, "blobs");
		assert_true(time.seconds >= 0 && time.cpu >= 0);
		assert_false(report_time(report, 1, &time));
	}
	free_new_layer(&made);
}

/* Asks until the thread has failed, for some seconds. */
static int check_often(struct image_writer *writer, struct error *err)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	for (int i = 0; i < 20000; i++) {
		int r = image_writer_check(writer, err);
		if (r < 0)
			return r;
		nanosleep(&moment, NULL);
	}
	return 0;
}

/*
 * What fails in the thread is told to who asks, or in the end: the disk is full, or a layer of the
 * base ends early.
 */
static void test_begun_and_failed(void **state)
{
	(void)state;
	static const struct {
		const char *output;
		uint64_t missing; /* bytes of a layer */
		enum error_kind kind;
		const char *message;
	} cases[] = {
		{"/dev/full", 0, ERROR_OUTPUT, "No space left on device"},
		{"/dev/null", 1 << 20, ERROR_INPUT, "ends at byte"},
	};
	cleanup_image struct image *base = open_base();
	struct image_write_options options = {.tags = tags, .architecture = "amd64"};
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_image_writer struct image_writer *writer = NULL;
		cleanup_report struct report *report = report_new(REPORT_QUIET, -1);
		cleanup_close int fd = open(cases[i / 2].output, O_WRONLY | O_CLOEXEC);
		struct image_written written;
		struct error err;
		base->layers[2].blob_size += i % 2 == 0 ? cases[i / 2].missing : 0;
		assert_int_equal(image_writer_new(fd, IMAGE_PLAIN, &writer, &err), 0);
		assert_int_equal(image_writer_check(writer, &err), 0);
		image_writer_start(writer, base, report);
		int r = i % 2 == 0 ? check_often(writer, &err)
				   : image_writer_finish(writer, base, &options, &written, &err);
		assert_error(&err, r, cases[i / 2].kind, cases[i / 2].message);
	}
}

/* An image with layers of these sizes, one behind the other in a file. */
static struct image *image_of_sizes(int fd, const uint64_t *sizes, size_t count)
{
	struct image *image = image_scratch();
	json_object *diff_ids = json_object_new_array();
	uint64_t at = 0;
	image->layers = xcalloc(count, sizeof(*image->layers));
	image->layer_count = count;
	for (size_t i = 0; i < count; i++) {
		char text[DIGEST_TEXT_SIZE];
		struct digest digest = digest_of(&i, sizeof(i));
		image->layers[i] = (struct image_layer){.digest = digest,
			.diff_id = digest,
			.media_type = "",
			.blob_fd = fd,
			.blob_offset = at,
			.blob_size = sizes[i],
			.tar_fd = -1};
		json_object_array_add(diff_ids, json_object_new_string(digest_text(&digest, text)));
		at += sizes[i];
	}
	json_object *rootfs = json_object_new_object();
	json_object_object_add(rootfs, "type", json_object_new_string("layers"));
	json_object_object_add(rootfs, "diff_ids", diff_ids);
	json_object_object_add(image->config, "rootfs", rootfs);
	return image;
}

/* Wherever the thread is when the end is wanted, the rest is written behind what it has written. */
static void test_begun_and_taken_over(void **state)
{
	(void)state;
	static const uint64_t sizes[] = {0, 1, 512, 3000000, 1 << 20, 0, 9000001, 700};
	size_t count = sizeof(sizes) / sizeof(sizes[0]);
	struct error err;
	cleanup_close int fd = file_temporary(&err);
	cleanup_buffer struct buffer data = {0};
	for (size_t i = 0; i < count; i++) {
		memset(buffer_reserve(&data, sizes[i]), (int)('a' + i), sizes[i]);
		data.len += sizes[i];
	}
	assert_int_equal(file_write_at(fd, data.data, data.len, 0, "layers", &err), 0);
	cleanup_image struct image *base = image_of_sizes(fd, sizes, count);
	struct image_write_options options = {.tags = tags, .architecture = "amd64"};
	struct image_written written;
	cleanup_buffer struct buffer expected = write_bytes(base, &options, &written);
	for (long i = 0; i < 24; i++) {
		const struct timespec moment = {.tv_nsec = i / 2 * 300000};
		struct memory_file out = memory_file_new("", 0);
		cleanup_image_writer struct image_writer *writer = NULL;
		cleanup_report struct report *report = report_new(REPORT_QUIET, -1);
		assert_int_equal(image_writer_new(out.fd, IMAGE_PLAIN, &writer, &err), 0);
		image_writer_start(writer, base, report);
		nanosleep(&moment, NULL);
		if (image_writer_finish(writer, base, &options, &written, &err) < 0)
			fail_msg("%s", err.message);
		cleanup_buffer struct buffer bytes = memory_file_bytes(out.fd);
		close(out.fd);
		assert_int_equal(bytes.len, expected.len);
		assert_memory_equal(bytes.data, expected.data, bytes.len);
	}
}

/* Nobody waits for a thread whose work is of no use any more: here a TiB of zeros. */
static void test_left(void **state)
{
	(void)state;
	for (int compression = IMAGE_PLAIN; compression <= IMAGE_ZSTD; compression++) {
		static const uint64_t size = UINT64_C(1) << 40;
		cleanup_report struct report *report = report_new(REPORT_QUIET, -1);
		cleanup_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		struct error err;
		cleanup_close int blob = file_temporary(&err);
		assert_int_equal(ftruncate(blob, (off_t)size), 0);
		cleanup_image struct image *base = image_of_sizes(blob, &size, 1);
		struct image_writer *writer;
		assert_int_equal(
			image_writer_new(null, (enum image_compression)compression, &writer, &err),
			0);
		image_writer_start(writer, base, report);
		image_writer_free(writer);
	}
}

/* A full disk is told as such, compressed or not; a layer that is too short too. */
static void test_failures(void **state)
{
	(void)state;
	cleanup_image struct image *base = open_base();
	struct new_layer made = make_new_layer();
	struct image_write_options options = {
		.tags = tags, .architecture = "amd64", .layer = &made.layer};
	struct image_written written;
	struct error err;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(full >= 0);
	for (int compression = IMAGE_PLAIN; compression <= IMAGE_ZSTD; compression++) {
		options.compression = (enum image_compression)compression;
		int r = image_write(full, base, &options, &written, &err);
		assert_error(&err, r, ERROR_OUTPUT, "No space left on device");
		assert_int_equal(r, -ENOSPC);
	}
	close(full);
	struct memory_file out = memory_file_new("", 0);
	made.layer.size += 1;
	for (int compression = IMAGE_PLAIN; compression <= IMAGE_ZSTD; compression++) {
		options.compression = (enum image_compression)compression;
		int r = image_write(out.fd, base, &options, &written, &err);
		assert_error(&err, r, ERROR_INPUT, "ends at byte");
	}
	close(out.fd);
	free_new_layer(&made);
}

/* After a signal nothing goes on. The last test: signals stay. */
static void test_interrupted(void **state)
{
	(void)state;
	cleanup_image struct image *base = open_base();
	struct image_write_options options = {.tags = tags, .architecture = "amd64"};
	struct memory_file out = memory_file_new("", 0);
	struct image_written written;
	struct error err;
	cleanup_buffer struct buffer bytes = write_bytes(base, &options, &written);
	assert_int_equal(interrupt_setup(&err), 0);
	raise(SIGTERM);
	cleanup_image struct image *image = NULL;
	assert_error(&err, open_bytes(&bytes, NULL, &image, &err), ERROR_INTERRUPTED, "SIGTERM");
	assert_error(&err, image_write(out.fd, base, &options, &written, &err), ERROR_INTERRUPTED,
		"SIGTERM");
	close(out.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_oci_half),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_big_sizes),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_begun),
		cmocka_unit_test(test_begun_and_failed),
		cmocka_unit_test(test_begun_and_taken_over),
		cmocka_unit_test(test_left),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_interrupted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
