/* image_source_list: all images of a source, as text, whole lists compared. */
#include "image_folder.h"
#include "skips.h"

#include <inttypes.h>

/* A line an image: names, platform, layers, bytes, marks. Digests are compared with the bytes. */
static char *dump(const struct image_list *list)
{
	static const char *const layouts[] = {"docker", "oci", "dir", "legacy", "rootfs"};
	struct buffer text = {0};
	buffer_printf(&text, "%s\n", layouts[list->layout]);
	for (size_t i = 0; i < list->count; i++) {
		const struct image_summary *image = &list->images[i];
		size_t n = 0;
		for (; image->names[n] != NULL; n++)
			buffer_printf(&text, "%s%s", n > 0 ? "," : "", image->names[n]);
		assert_int_equal(n, image->name_count);
		buffer_printf(&text, "|%s/%s/%s|%zu|%" PRIu64 "|%s%s\n",
			image->os != NULL ? image->os : "",
			image->architecture != NULL ? image->architecture : "",
			image->variant != NULL ? image->variant : "", image->layer_count,
			image->size, image->is_attestation ? "attestation" : "",
			image->is_missing ? "missing" : "");
	}
	return buffer_steal_text(&text);
}

static void check_list(const char *path, const char *expected)
{
	cleanup_image_source struct image_source *source = NULL;
	cleanup_image_list struct image_list *list = NULL;
	struct error err;
	if (image_source_open(path, &source, &err) < 0 ||
		image_source_list(source, &list, &err) < 0)
		fail_msg("%s", err.message);
	cleanup_free char *found = dump(list);
	assert_string_equal(found, expected);
}

/* As an archive, and unpacked to a folder; a root file system is no source as a folder. */
static void check_both(const struct buffer *bytes, const char *expected)
{
	struct memory_file file = memory_file_new(bytes->data, bytes->len);
	cleanup_folder struct temporary_folder folder = folder_of(bytes);
	check_list(file.path, expected);
	close(file.fd);
	check_list(folder.path, expected);
}

static void check_refused(const struct buffer *bytes, enum error_kind kind, const char *words)
{
	struct memory_file file = memory_file_new(bytes->data, bytes->len);
	cleanup_image_source struct image_source *source = NULL;
	cleanup_image_list struct image_list *list = NULL;
	struct error err;
	assert_int_equal(image_source_open(file.path, &source, &err), 0);
	close(file.fd);
	int r = image_source_list(source, &list, &err);
	assert_error(&err, r, kind, words);
	assert_null(list);
}

static void test_fixtures(void **state)
{
	(void)state;
	static const struct {
		const char *file, *expected;
	} cases[] = {
		{"alpine-3.14.containerd.tar", "docker\nalpine:3.14|linux/amd64/|1|2829633|\n"},
		{"busybox-1.31.1.oci.tar", "oci\n|linux/amd64/|1|760455|\n"},
		{"hello-world-docker25.tar", "docker\n|linux/arm64/|1|10752|\n"},
		{"two-images.docker.tar", "docker\ntest_image_2|linux/amd64/|1|10240|\n"
					  "test_image_1|linux/amd64/|1|10240|\n"},
		{"no-manifest.tar", "legacy\nbazel/v1/tarball:test_image|linux/amd64/|1|10240|\n"},
	};
	const char *folder = getenv("LAYERVM_FIXTURES");
	if (folder == NULL)
		skip_test("fixtures");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_free char *path = xasprintf("%s/%s", folder, cases[i].file);
		check_list(path, cases[i].expected);
	}
}

static void test_docker(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = {0};
	cleanup_buffer struct buffer layer = make_layer("x");
	cleanup_free char *one = make_config(
		"\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\",", &layer, 1);
	cleanup_free char *windows = make_config("\"os\":\"windows\",", &layer, 1);
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	builder_text(archive, "1.json", one);
	builder_text(archive, "2.json", windows);
	builder_file(archive, "l/layer.tar", layer.data, layer.len);
	builder_text(archive, "manifest.json",
		"[{\"Config\":\"1.json\",\"RepoTags\":[\"a:1\",\"b:2\",\"c:3\"],"
		"\"Layers\":[\"l/layer.tar\"]},"
		"{\"Config\":\"2.json\",\"RepoTags\":null,\"Layers\":[\"l/layer.tar\","
		"\"l/layer.tar\"]},"
		"{\"Config\":\"1.json\",\"RepoTags\":[\"d:4\"],\"Layers\":[\"l/layer.tar\"]}]");
	builder_end(archive);
	cleanup_free char *expected =
		xasprintf("docker\na:1,b:2,c:3,d:4|linux/arm/v7|1|%zu|\n|windows//|2|%zu|\n",
			layer.len, 2 * layer.len);
	check_both(&bytes, expected);
}

/* Nested indexes, an index by two names, an attestation, a Helm chart, a blob that is not there. */
static void test_oci(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = {0};
	cleanup_buffer struct buffer layer = make_layer("amd64");
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	cleanup_free char *amd64 = builder_oci_image(
		archive, "amd64", ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}");
	cleanup_free char *plain = builder_oci_image(archive, "plain",
		",\"annotations\":{\"org.opencontainers.image.ref.name\":\"v7\"}");
	cleanup_free char *proof = builder_blob(archive, "{}", 2, TYPE_MANIFEST,
		",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}");
	static const char chart[] =
		"{\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\","
		"\"digest\":\"sha256:"
		"0000000000000000000000000000000000000000000000000000000000000000\","
		"\"size\":0}}";
	cleanup_free char *helm = builder_blob(archive, chart, strlen(chart), TYPE_MANIFEST, "");
	static const char other[] = "{\"mediaType\":\"application/x-other\",\"blobs\":[]}";
	cleanup_free char *untyped = builder_blob(archive, other, strlen(other), "", "");
	static const char absent[] =
		"{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha256:"
		"1111111111111111111111111111111111111111111111111111111111111111\","
		"\"size\":5,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\","
		"\"variant\":\"v6\"}}";
	cleanup_free char *inner = xasprintf("{\"manifests\":[%s,%s,%s]}", amd64, absent, proof);
	cleanup_free char *nested = builder_blob(archive, inner, strlen(inner), TYPE_INDEX, "");
	nested[strlen(nested) - 1] = '\0';
	cleanup_free char *top = xasprintf("{\"manifests\":["
					   "%s,\"annotations\":{\"io.containerd.image.name\":"
					   "\"docker.io/library/many:1\"}},"
					   "{\"mediaType\":\"application/x-other\",\"digest\":"
					   "\"sha256:"
					   "2222222222222222222222222222222222222222222222222222222"
					   "222222222\",\"size\":1},%s,%s,%s,%s,"
					   "%s,\"annotations\":{\"io.containerd.image.name\":"
					   "\"docker.io/library/many:2\"}}]}",
		nested, untyped, plain, helm, plain, nested);
	builder_text(archive, "oci-layout", "{}");
	builder_text(archive, "index.json", top);
	builder_end(archive);
	cleanup_free char *expected = xasprintf(
		"oci\ndocker.io/library/many:1,docker.io/library/many:2|linux/amd64/|1|%zu|\n"
		"docker.io/library/many:1,docker.io/library/many:2|linux/arm/v6|0|0|missing\n"
		"|unknown/unknown/|0|0|attestation\nv7|//|1|%zu|\n",
		layer.len, layer.len);
	check_both(&bytes, expected);
}

/* An index that lists itself cannot be made; one that is listed without end can. */
static void test_oci_limits(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		cleanup_buffer struct buffer bytes = {0};
		cleanup_buffer struct buffer top = {0};
		struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
		cleanup_free char *descriptor = builder_oci_image(archive, "x", "");
		unsigned levels = round == 0 ? 9 : 3;
		unsigned copies = round == 0 ? 1 : 500;
		for (unsigned i = 0; i < levels; i++) {
			buffer_add_text(&top, "{\"manifests\":[");
			for (unsigned k = 0; k < copies; k++)
				buffer_printf(&top, "%s%s", k > 0 ? "," : "", descriptor);
			buffer_add_text(&top, "]}");
			free(descriptor);
			descriptor =
				builder_blob(archive, (char *)top.data, top.len, TYPE_INDEX, "");
			top.len = 0;
		}
		buffer_add_text(&top, "{\"manifests\":[");
		for (unsigned k = 0; k < (round == 2 ? 10001u : 1u); k++)
			buffer_printf(&top, "%s%s", k > 0 ? "," : "", descriptor);
		buffer_add_text(&top, "]}");
		builder_file(archive, "index.json", top.data, top.len);
		builder_text(archive, "oci-layout", "{}");
		builder_end(archive);
		cleanup_buffer struct buffer layer = make_layer("x");
		cleanup_free char *expected = xasprintf("oci\n|//|1|%zu|\n", layer.len);
		if (round == 0)
			check_refused(&bytes, ERROR_INPUT, "nested deeper than the limit of 8");
		else if (round == 1)
			check_both(&bytes, expected);
		else
			check_refused(&bytes, ERROR_LIMIT, "more entries than the limit of 10000");
	}
}

/* One document that is named again and again costs no more than a bounded time. */
static void test_document_limit(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = {0};
	cleanup_buffer struct buffer manifest = {0};
	cleanup_buffer struct buffer config = {0};
	buffer_add_text(&config, "{\"rootfs\":{\"diff_ids\":[]}}");
	size_t padding = ((size_t)8 << 20) - config.len;
	memset(buffer_reserve(&config, padding), ' ', padding);
	config.len += padding;
	buffer_add_text(&manifest, "[{\"Config\":\"c\"}");
	for (unsigned i = 0; i < 40; i++)
		buffer_add_text(&manifest, ",{\"Config\":\"c\"}");
	buffer_add_text(&manifest, "]");
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	builder_file(archive, "c", config.data, config.len);
	builder_file(archive, "manifest.json", manifest.data, manifest.len);
	builder_end(archive);
	check_refused(
		&bytes, ERROR_LIMIT, "its documents come to more than the limit of 268435456");
}

static void test_rootfs(void **state)
{
	(void)state;
	cleanup_buffer struct buffer tar = make_layer("x");
	struct memory_file file = memory_file_new(tar.data, tar.len);
	cleanup_free char *expected = xasprintf("rootfs\n|//|1|%zu|\n", tar.len);
	check_list(file.path, expected);
	close(file.fd);
}

/* The digests in a list are those of the documents; a list and two images come of one source. */
static void test_one_source(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	cleanup_free char *descriptor = builder_oci_image(archive, "x", "");
	cleanup_free char *top = xasprintf("{\"manifests\":[%s]}", descriptor);
	builder_text(archive, "index.json", top);
	builder_text(archive, "oci-layout", "{}");
	builder_end(archive);
	struct memory_file file = memory_file_new(bytes.data, bytes.len);
	struct image_source *source = NULL;
	cleanup_image_list struct image_list *list = NULL;
	struct error err;
	assert_int_equal(image_source_open(file.path, &source, &err), 0);
	close(file.fd);
	assert_int_equal(image_source_list(source, &list, &err), 0);
	assert_int_equal(list->count, 1);
	assert_non_null(strstr(descriptor, list->images[0].digest));

	const struct image_options options = {0};
	cleanup_image struct image *one = NULL;
	cleanup_image struct image *two = NULL;
	assert_int_equal(image_source_load(source, &options, &one, &err), 0);
	assert_int_equal(image_source_load(source, &options, &two, &err), 0);
	image_source_free(source);
	cleanup_buffer struct buffer layer = make_layer("x");
	assert_layer(&one->layers[0], &layer);
	assert_layer(&two->layers[0], &layer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixtures),
		cmocka_unit_test(test_docker),
		cmocka_unit_test(test_oci),
		cmocka_unit_test(test_oci_limits),
		cmocka_unit_test(test_document_limit),
		cmocka_unit_test(test_rootfs),
		cmocka_unit_test(test_one_source),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
