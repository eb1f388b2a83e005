/* image_open: real archives of other projects, and made ones in every form that it takes. */
#include "image_builder.h"

#include "image/archive_index.h"
#include "skips.h"
#include "support/reference.h"

#define CHAIN(hex) "sha256:" hex

struct fixture {
	const char *file;
	const char *name, *tag; /* asked for */
	const char *chosen;     /* NULL: none; for an error: part of its message */
	size_t layers;          /* 0: it must be refused */
	const char *chain_id;   /* computed by another program */
};

static const struct fixture fixtures[] = {
	{"alpine-3.9.docker.tar.gz", NULL, NULL, "alpine:3.9", 1,
		CHAIN("f1b5933fe4b5f49bbe8258745cf396afe07e625bdab3168e364daf7c956b6b81")},
	{"alpine-3.14.containerd.tar", NULL, NULL, "alpine:3.14", 1,
		CHAIN("625523cb9cce7a1bcc1d03e3038de4843a27af3b92d859004bcefb0027291933")},
	{"alpine-3.14.containerd.tar", "docker.io/library/alpine", "3.14", "alpine:3.14", 1,
		CHAIN("625523cb9cce7a1bcc1d03e3038de4843a27af3b92d859004bcefb0027291933")},
	{"busybox-1.31.1.oci.tar", NULL, NULL, NULL, 1,
		CHAIN("1be74353c3d0fd55fb5638a52953e6f1bc441e5b1710921db9ec2aa202725569")},
	{"busybox.docker.tar", NULL, NULL, "busybox:latest", 1,
		CHAIN("0d315111b4847e8cd50514ca19657d1e8d827f4e128d172ce8b2f76a04f3faea")},
	{"dive-14-layers.docker.tar", NULL, NULL, "dive-test:latest", 14,
		CHAIN("a1c47b1903e5c10581a02d31a80056a7534202ba4d4a352f5c737747d0db4ca7")},
	{"gz-layers-whiteouts.docker.tar", "test", "latest", "index.docker.io/library/test:latest",
		4, CHAIN("38d348338cd77088d923b3d323c61c052ca8dd4bbe7bf6ed04505cddababbf65")},
	{"hello-world-docker25.tar", NULL, NULL, NULL, 1,
		CHAIN("12660636fe55438cc3ae7424da7ac56e845cdb52493ff9cf949c47a7f57f8b43")},
	{"overwritten-file.docker.tar", NULL, NULL, "bazel/pkg/v1/mutate:overwritten_file", 3,
		CHAIN("77ab22bb3ace7d70060b627519ff09387e750b83c72a5db8cbb511843aea8d46")},
	{"pause.docker.tar", NULL, NULL, "gcr.io/google-containers/pause:2.0", 2,
		CHAIN("10d83d8604713cbbf0d611ca528a8cf233f8744dcf02f34e03b41c90c584cb83")},
	{"symlinks.docker.tar", NULL, NULL, "symlinks:latest", 2,
		CHAIN("0aac47cbe921e2191bf19e268164b7c624f6e0c80e89ed19193e3a2ba80b1a80")},
	{"two-images-symlinked-layer.docker.tar", "bazel/v1/tarball", "test_image_3",
		"bazel/v1/tarball:test_image_3", 2,
		CHAIN("e10430d6eeebc50796f4c7435259699ea3bde509b50ca259d82abe9d6fbd99bd")},
	{"two-images.docker.tar", NULL, NULL, "test_image_2", 1,
		CHAIN("3610aa5267a210147ba6ca02cdd87610dfc08522de9c5f5015edd8ee14853fd8")},
	{"two-images.docker.tar", "test_image_1", "latest", "test_image_1", 1,
		CHAIN("8897395fd26dc44ad0e2a834335b33198cb41ac4d98dfddf58eced3853fa7b17")},
	{"two-images.docker.tar", "test_image_1", NULL, "test_image_2", 1,
		CHAIN("3610aa5267a210147ba6ca02cdd87610dfc08522de9c5f5015edd8ee14853fd8")},
	{"two-images.docker.tar", "test_image_3", "latest",
		"has no image test_image_3:latest; there are: test_image_2, test_image_1", 0, NULL},
	{"whiteout-file.docker.tar", NULL, NULL, "bazel/pkg/v1/mutate:whiteout_image", 3,
		CHAIN("652d3150776547cf040a2aa054026699ba17627a2d22a9f210a68d0f246bb004")},
	{"BAD-layer-count.docker.tar", NULL, NULL, "lists 1 layers, but the image config has 3", 0,
		NULL},
	{"BAD-null-manifest.tar", NULL, NULL, "expected an array, found null", 0, NULL},
	{"no-manifest.tar", NULL, NULL, "bazel/v1/tarball:test_image", 1,
		CHAIN("fbec6100edacb7a6374f75545cfdfac2d83f74d0f5ed813645e4c3944c68c761")},
};

static void check_fixture(const char *folder, const struct fixture *fixture, bool later)
{
	cleanup_free char *path = xasprintf("%s/%s", folder, fixture->file);
	struct image_options options = {.name = fixture->name,
		.tag = fixture->tag,
		.architecture = "amd64",
		.later = later};
	cleanup_image struct image *image = NULL;
	struct error err = {0};
	int r = image_open(path, &options, &image, &err);
	if (r == 0)
		r = image_verify(image, &err);
	if (fixture->layers == 0) {
		assert_error(&err, r, ERROR_INPUT, fixture->chosen);
		assert_non_null(strstr(err.message, fixture->file));
		return;
	}
	if (r < 0)
		fail_msg("%s: %s", fixture->file, err.message);
	if (fixture->chosen == NULL)
		assert_null(image->name);
	else
		assert_string_equal(image->name, fixture->chosen);
	assert_int_equal(image->layer_count, fixture->layers);
	assert_false(image->from_rootfs);
	char text[DIGEST_TEXT_SIZE];
	struct digest chain = image_chain_id(image, image->layer_count);
	assert_string_equal(digest_text(&chain, text), fixture->chain_id);
}

static void test_fixtures(void **state)
{
	(void)state;
	const char *folder = getenv("LAYERVM_FIXTURES");
	if (folder == NULL)
		skip_test("fixtures");
	for (size_t i = 0; i < sizeof(fixtures) / sizeof(fixtures[0]); i++) {
		check_fixture(folder, &fixtures[i], false);
		check_fixture(folder, &fixtures[i], true);
	}
}

/* The offsets in the index are those of the data, whatever headers stand before it. */
static void test_index_offsets(void **state)
{
	(void)state;
	static int (*const formats[])(struct archive *) = {
		archive_write_set_format_ustar,
		archive_write_set_format_pax,
		archive_write_set_format_gnutar,
	};
	static const size_t sizes[] = {0, 1, 511, 512, 513, 70000};
	for (size_t f = 0; f < 3; f++) {
		cleanup_buffer struct buffer tar = {0};
		struct archive *archive = builder_new(&tar, formats[f]);
		char names[6][700];
		for (size_t i = 0; i < 6; i++) {
			/* ustar takes 255 bytes; the others need headers of their own. */
			snprintf(names[i], sizeof(names[i]), "f%zu-%0*d/%0*d", i,
				f == 0 ? 90 : (int)(i * 40 + 10), 7, f == 0 ? 90 : 300, 8);
			cleanup_free char *data = xmalloc(sizes[i]);
			memset(data, 'a' + (int)i, sizes[i]);
			builder_file(archive, names[i], data, sizes[i]);
		}
		builder_end(archive);
		struct memory_file file = memory_file_new(tar.data, tar.len);
		cleanup_index struct archive_index index = {0};
		struct error err;
		assert_int_equal(index_read(file.fd, tar.len, "tar", &index, &err), 0);
		assert_int_equal(index.count, 6);
		assert_true(index.has_end);
		for (size_t i = 0; i < 6; i++) {
			const struct member *member = index_find(&index, names[i]);
			assert_non_null(member);
			assert_true(member->is_file);
			assert_int_equal(member->size, sizes[i]);
			for (size_t k = 0; k < sizes[i]; k++)
				assert_int_equal(tar.data[member->offset + k], 'a' + i);
		}
		close(file.fd);
	}
}

static void test_reference(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {
		{"busybox", "docker.io/library/busybox:latest"},
		{"busybox:1", "docker.io/library/busybox:1"},
		{"docker.io/library/busybox:1", "docker.io/library/busybox:1"},
		{"index.docker.io/library/busybox:1", "docker.io/library/busybox:1"},
		{"docker.io/busybox:1", "docker.io/library/busybox:1"},
		{"a/b:c", "docker.io/a/b:c"},
		{"localhost/b", "localhost/b:latest"},
		{"localhost:5000/b", "localhost:5000/b:latest"},
		{"r.example/x/y:z", "r.example/x/y:z"},
		{"a@sha256:00", "docker.io/library/a@sha256:00"},
		{"", "docker.io/library/:latest"},
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		cleanup_free char *full = reference_normalise(pairs[i][0]);
		assert_string_equal(full, pairs[i][1]);
	}
}

/* Every compression of the archive with every one of the layers. */
static void test_compressions(void **state)
{
	(void)state;
	static int (*const filters[])(struct archive *) = {
		NULL,
		archive_write_add_filter_gzip,
		archive_write_add_filter_zstd,
		archive_write_add_filter_xz,
		archive_write_add_filter_bzip2,
	};
	static const char *const types[] = {
		TYPE_LAYER, TYPE_LAYER "+gzip", TYPE_LAYER "+zstd", TYPE_LAYER, TYPE_LAYER};
	struct buffer tars[5];
	struct buffer blobs[5];
	cleanup_buffer struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	for (size_t i = 0; i < 5; i++) {
		cleanup_free char *text = xasprintf("layer %zu", i);
		cleanup_free char *name = xasprintf("%zu/layer.tar", i);
		tars[i] = make_layer(text);
		blobs[i] = compress(&tars[i], filters[i]);
		builder_file(archive, name, blobs[i].data, blobs[i].len);
	}
	cleanup_free char *config = make_config("", tars, 5);
	builder_text(archive, "c.json", config);
	builder_text(archive, "manifest.json",
		"[{\"Config\":\"c.json\",\"Layers\":[\"0/layer.tar\",\"1/layer.tar\",\"2/"
		"layer.tar\","
		"\"3/layer.tar\",\"4/layer.tar\"]}]");
	builder_end(archive);
	for (size_t f = 0; f < 5; f++) {
		cleanup_buffer struct buffer whole = compress(&bytes, filters[f]);
		cleanup_image struct image *image = NULL;
		struct error err;
		if (open_bytes(&whole, NULL, &image, &err) < 0)
			fail_msg("%s", err.message);
		assert_int_equal(image->layer_count, 5);
		for (size_t i = 0; i < 5; i++) {
			assert_layer(&image->layers[i], &tars[i]);
			assert_string_equal(image->layers[i].media_type, types[i]);
			/* xz and bzip2 have no media type: the tar stands for the blob. */
			assert_int_equal(
				image->layers[i].blob_size, i < 3 ? blobs[i].len : tars[i].len);
		}
	}
	for (size_t i = 0; i < 5; i++) {
		buffer_free(&tars[i]);
		buffer_free(&blobs[i]);
	}
}

/* Layers by odd names, through links, and one of them twice. */
static void test_member_names(void **state)
{
	(void)state;
	struct buffer tars[2] = {make_layer("one"), make_layer("two")};
	struct buffer listed[6] = {tars[0], tars[0], tars[1], tars[0], tars[1], tars[0]};
	cleanup_free char *config = make_config("", listed, 6);
	cleanup_buffer struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_pax);
	builder_text(archive, "stale", "a stale blob");
	builder_text(archive, "one/layer.tar", "the last member of a name counts");
	builder_file(archive, "./one//layer.tar", tars[0].data, tars[0].len);
	cleanup_buffer struct buffer small = compress(&tars[1], archive_write_add_filter_gzip);
	builder_file(archive, "two.tar", small.data, small.len);
	builder_link(archive, "a/relative", "../one/layer.tar", false);
	builder_link(archive, "a/absolute", "/two.tar", false);
	builder_link(archive, "a/hard", "a/relative", true);
	builder_text(archive, "./c.json", config);
	builder_text(archive, "./manifest.json",
		"[{\"Config\":\"a/../c.json\",\"RepoTags\":[],\"Layers\":[\"one/layer.tar\","
		"\"a/relative\",\"a/absolute\",\"a/hard\",\"/two.tar\",\"./one/./layer.tar\"]}]");
	builder_end(archive);
	cleanup_image struct image *image = NULL;
	struct error err;
	if (open_bytes(&bytes, NULL, &image, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(image->layer_count, 6);
	for (size_t i = 0; i < 6; i++)
		assert_layer(&image->layers[i], &listed[i]);
	/* The one that comes twice is inflated once. */
	assert_int_equal(image->layers[2].tar_fd, image->layers[4].tar_fd);
	assert_int_equal(image->layers[2].tar_offset, image->layers[4].tar_offset);
	buffer_free(&tars[0]);
	buffer_free(&tars[1]);
}

static void test_200_layers(void **state)
{
	(void)state;
	struct buffer tars[200];
	cleanup_buffer struct buffer bytes = {0};
	cleanup_buffer struct buffer manifest = {0};
	buffer_add_text(&manifest, "[{\"Config\":\"c.json\",\"RepoTags\":null,\"Layers\":[");
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	for (size_t i = 0; i < 200; i++) {
		cleanup_free char *name = xasprintf("%zu/layer.tar", i);
		tars[i] = make_layer(name);
		cleanup_buffer struct buffer blob =
			compress(&tars[i], i % 2 == 0 ? NULL : archive_write_add_filter_gzip);
		builder_file(archive, name, blob.data, blob.len);
		buffer_printf(&manifest, "%s\"%s\"", i > 0 ? "," : "", name);
	}
	buffer_add_text(&manifest, "]}]");
	cleanup_free char *config = make_config("", tars, 200);
	builder_text(archive, "c.json", config);
	builder_file(archive, "manifest.json", manifest.data, manifest.len);
	builder_end(archive);
	cleanup_image struct image *image = NULL;
	struct error err;
	if (open_bytes(&bytes, NULL, &image, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(image->layer_count, 200);
	for (size_t i = 0; i < 200; i++) {
		assert_layer(&image->layers[i], &tars[i]);
		buffer_free(&tars[i]);
	}
}

/* Several compressed pieces in a row, and zstd that begins with a frame without data. */
static void test_concatenated(void **state)
{
	(void)state;
	static int (*const filters[])(struct archive *) = {archive_write_add_filter_gzip,
		archive_write_add_filter_zstd, archive_write_add_filter_xz,
		archive_write_add_filter_bzip2};
	cleanup_buffer struct buffer tar = make_layer("in two pieces");
	for (size_t i = 0; i < 4; i++) {
		const struct buffer first = {.data = tar.data, .len = 700};
		const struct buffer second = {.data = tar.data + 700, .len = tar.len - 700};
		cleanup_buffer struct buffer one = compress(&first, filters[i]);
		cleanup_buffer struct buffer two = compress(&second, filters[i]);
		cleanup_buffer struct buffer bytes = {0};
		if (filters[i] == archive_write_add_filter_zstd)
			buffer_add(&bytes, "\x5f\x2a\x4d\x18\x03\0\0\0xyz", 11);
		buffer_add(&bytes, one.data, one.len);
		buffer_add(&bytes, two.data, two.len);
		cleanup_image struct image *image = NULL;
		struct error err;
		if (open_bytes(&bytes, NULL, &image, &err) < 0)
			fail_msg("%zu: %s", i, err.message);
		assert_layer(&image->layers[0], &tar);
	}
}

/* The name to the letter goes before one that means the same. */
static void test_docker_choice(void **state)
{
	(void)state;
	static const struct {
		const char *name, *tag, *chosen;
	} cases[] = {
		{NULL, NULL, "docker.io/library/x:1"},
		{"x", "1", "x:1"},
		{"library/x", "1", "docker.io/library/x:1"},
		{"y", "latest", "y"},
		{"other", "2", "other:2"},
	};
	cleanup_buffer struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	builder_text(archive, "c", "{\"rootfs\":{\"diff_ids\":null}}");
	builder_text(archive, "manifest.json",
		"[{\"Config\":\"c\",\"RepoTags\":[\"docker.io/library/x:1\",\"y\"]},"
		"{\"Config\":\"c\",\"RepoTags\":[\"z:1\",\"x:1\",\"other:2\"]}]");
	builder_end(archive);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct image_options options = {.name = cases[i].name, .tag = cases[i].tag};
		cleanup_image struct image *image = NULL;
		struct error err;
		assert_int_equal(open_bytes(&bytes, &options, &image, &err), 0);
		assert_string_equal(image->name, cases[i].chosen);
		assert_int_equal(image->layer_count, 0);
	}
}

/* A plain layer whose first name looks like the magic of bzip2. */
static void test_misleading_magic(void **state)
{
	(void)state;
	cleanup_buffer struct buffer tar = {0};
	struct archive *archive = builder_new(&tar, archive_write_set_format_ustar);
	builder_text(archive, "BZh91AY&SY", "no bzip2");
	builder_end(archive);
	cleanup_image struct image *image = NULL;
	struct error err;
	assert_int_equal(open_bytes(&tar, NULL, &image, &err), 0);
	assert_true(image->from_rootfs);
	assert_layer(&image->layers[0], &tar);
}

/* An OCI archive with names, platforms, an attestation and nested indexes. */
static struct buffer make_oci(void)
{
	struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	cleanup_free char *amd64 = builder_oci_image(
		archive, "amd64", ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}");
	cleanup_free char *arm64 = builder_oci_image(
		archive, "arm64", ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}");
	cleanup_free char *proof = builder_blob(archive, "{}", 2, TYPE_MANIFEST,
		",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"},"
		"\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}");
	cleanup_free char *inner = xasprintf("{\"manifests\":[%s,%s,%s]}", proof, arm64, amd64);
	cleanup_free char *nested = builder_blob(archive, inner, strlen(inner), TYPE_INDEX, "");
	cleanup_free char *outer = xasprintf("{\"manifests\":[%s]}", nested);
	cleanup_free char *many = builder_blob(archive, outer, strlen(outer), TYPE_INDEX,
		",\"annotations\":{\"io.containerd.image.name\":\"docker.io/library/many:1\","
		"\"org.opencontainers.image.ref.name\":\"1\"}");
	cleanup_free char *plain = builder_oci_image(archive, "plain",
		",\"annotations\":{\"org.opencontainers.image.ref.name\":\"v7\"}");
	cleanup_free char *top = xasprintf("{\"manifests\":[%s,%s]}", many, plain);
	builder_text(archive, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	builder_text(archive, "index.json", top);
	builder_end(archive);
	return bytes;
}

static void test_oci_choice(void **state)
{
	(void)state;
	static const struct {
		const char *name, *tag, *architecture;
		const char *layer; /* NULL: an error with `words` */
		const char *words; /* the name chosen */
	} cases[] = {
		{NULL, NULL, "amd64", "amd64", "docker.io/library/many:1"},
		{NULL, NULL, "arm64", "arm64", "docker.io/library/many:1"},
		{"many", "1", "arm64", "arm64", "docker.io/library/many:1"},
		{"v7", "latest", "amd64", "plain", "v7"},
		{"wrong/name", "v7", "amd64", NULL, "has no image wrong/name:v7; there are: "},
		{"many", "2", "amd64", NULL, "has no image many:2; there are: "},
		{"other", "1", "amd64", NULL,
			"has no image other:1; there are: docker.io/library/many:1, v7"},
		{"many", "1", "s390x", NULL,
			"has no image for linux/s390x; there are: linux/arm64, linux/amd64"},
	};
	cleanup_buffer struct buffer bytes = make_oci();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct image_options options = {.name = cases[i].name,
			.tag = cases[i].tag,
			.architecture = cases[i].architecture};
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, &options, &image, &err);
		if (cases[i].layer == NULL) {
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
			continue;
		}
		if (r < 0)
			fail_msg("%s", err.message);
		cleanup_buffer struct buffer layer = make_layer(cases[i].layer);
		assert_int_equal(image->layer_count, 1);
		assert_layer(&image->layers[0], &layer);
		assert_string_equal(image->name, cases[i].words);
	}
}

/* Where there are several images, the one taken is said. */
static void test_choice_is_said(void **state)
{
	(void)state;
	struct memory_file log = memory_file_new("", 0);
	struct report *report = report_new(REPORT_PLAIN, log.fd);
	struct image_options options = {.architecture = "amd64", .report = report};
	cleanup_buffer struct buffer bytes = make_oci();
	cleanup_image struct image *image = NULL;
	struct error err;
	assert_int_equal(open_bytes(&bytes, &options, &image, &err), 0);
	report_free(report);
	cleanup_buffer struct buffer text = memory_file_bytes(log.fd);
	buffer_add(&text, "", 1);
	assert_non_null(strstr((char *)text.data,
		"index.json: has several images; takes the first, docker.io/library/many:1\n"));
	close(log.fd);
}

static void test_rootfs(void **state)
{
	(void)state;
	cleanup_buffer struct buffer tar = make_layer("a root file system");
	static int (*const filters[])(struct archive *) = {NULL, archive_write_add_filter_zstd};
	for (size_t i = 0; i < 2; i++) {
		cleanup_buffer struct buffer bytes = compress(&tar, filters[i]);
		cleanup_image struct image *image = NULL;
		struct error err;
		assert_int_equal(open_bytes(&bytes, NULL, &image, &err), 0);
		assert_true(image->from_rootfs);
		assert_null(image->name);
		assert_int_equal(image->layer_count, 1);
		assert_layer(&image->layers[0], &tar);
	}
}

/* Standard input, from its position on: a file here, a pipe in the second round. */
static void test_standard_input(void **state)
{
	(void)state;
	cleanup_buffer struct buffer tar = make_layer("from standard input");
	int saved = dup(STDIN_FILENO);
	for (unsigned round = 0; round < 2; round++) {
		int ends[2] = {-1, -1};
		struct memory_file file = memory_file_new(tar.data, tar.len);
		assert_int_equal(pipe(ends), 0);
		struct error err;
		assert_int_equal(file_write(ends[1], tar.data, tar.len, "pipe", &err), 0);
		close(ends[1]);
		assert_true(dup2(round == 0 ? file.fd : ends[0], STDIN_FILENO) == STDIN_FILENO);
		assert_true(lseek(file.fd, 0, SEEK_SET) == 0);
		struct image_options options = {0};
		cleanup_image struct image *image = NULL;
		int r = image_open("-", &options, &image, &err);
		assert_true(dup2(saved, STDIN_FILENO) == STDIN_FILENO);
		close(file.fd);
		close(ends[0]);
		assert_int_equal(r, 0);
		assert_layer(&image->layers[0], &tar);
	}
	close(saved);
}

static void test_scratch(void **state)
{
	(void)state;
	cleanup_image struct image *image = image_scratch();
	assert_int_equal(image->layer_count, 0);
	assert_int_equal(json_object_object_length(image->config), 0);
	assert_false(image->from_rootfs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixtures),
		cmocka_unit_test(test_index_offsets),
		cmocka_unit_test(test_reference),
		cmocka_unit_test(test_compressions),
		cmocka_unit_test(test_member_names),
		cmocka_unit_test(test_200_layers),
		cmocka_unit_test(test_misleading_magic),
		cmocka_unit_test(test_concatenated),
		cmocka_unit_test(test_docker_choice),
		cmocka_unit_test(test_oci_choice),
		cmocka_unit_test(test_choice_is_said),
		cmocka_unit_test(test_rootfs),
		cmocka_unit_test(test_standard_input),
		cmocka_unit_test(test_scratch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
