/* Sources other than today's archives: folders, archives of before Docker 1.10, other platforms. */
#include "image_folder.h"

#include <errno.h>
#include <fcntl.h>

#include "skips.h"
#include "support/architecture.h"

/* Each fixture, unpacked, is the same image as its archive. */
static void test_fixture_folders(void **state)
{
	(void)state;
	static const struct {
		const char *file;
		const char *words; /* NULL: the folder is as good as the archive */
	} cases[] = {
		{"alpine-3.14.containerd.tar", NULL},
		{"alpine-3.9.docker.tar.gz", NULL},
		{"busybox-1.31.1.oci.tar", NULL},
		{"busybox.docker.tar", NULL},
		{"gz-layers-whiteouts.docker.tar", NULL},
		{"hello-world-docker25.tar", NULL},
		{"no-manifest.tar", NULL},
		{"two-images-symlinked-layer.docker.tar", NULL},
		{"BAD-null-manifest.tar", "expected an array, found null"},
	};
	const char *fixtures = getenv("LAYERVM_FIXTURES");
	if (fixtures == NULL)
		skip_test("fixtures");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_free char *path = xasprintf("%s/%s", fixtures, cases[i].file);
		cleanup_folder struct temporary_folder folder = folder_new();
		folder_unpack(&folder, path);
		const struct image_options options = {.architecture = "amd64"};
		cleanup_image struct image *image = NULL;
		cleanup_image struct image *archived = NULL;
		struct error err;
		int r = image_open(folder.path, &options, &image, &err);
		if (cases[i].words != NULL) {
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", cases[i].file, err.message);
		assert_int_equal(image_open(path, &options, &archived, &err), 0);
		assert_int_equal(image->layer_count, archived->layer_count);
		for (size_t k = 0; k < image->layer_count; k++)
			assert_memory_equal(&image->layers[k].digest, &archived->layers[k].digest,
				sizeof(struct digest));
		assert_int_equal(image->name == NULL, archived->name == NULL);
		if (image->name != NULL)
			assert_string_equal(image->name, archived->name);
		assert_true(json_object_equal(image->config, archived->config));
	}
}

/* An OCI layout of one image whose layer is gzip; *layer_name is its blob's name. */
static struct buffer make_layout(struct buffer *tar, char **layer_name)
{
	struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	*tar = make_layer("in a folder");
	cleanup_buffer struct buffer small = compress(tar, archive_write_add_filter_gzip);
	cleanup_free char *config = make_config("", tar, 1);
	cleanup_free char *layer =
		builder_blob(archive, small.data, small.len, TYPE_LAYER "+gzip", "");
	cleanup_free char *config_descriptor =
		builder_blob(archive, config, strlen(config), TYPE_CONFIG, "");
	cleanup_free char *manifest =
		xasprintf("{\"config\":%s,\"layers\":[%s]}", config_descriptor, layer);
	cleanup_free char *descriptor =
		builder_blob(archive, manifest, strlen(manifest), TYPE_MANIFEST, "");
	cleanup_free char *top = xasprintf("{\"manifests\":[%s]}", descriptor);
	builder_text(archive, "index.json", top);
	builder_text(archive, "oci-layout", "{}");
	builder_end(archive);
	struct digest digest = digest_of(small.data, small.len);
	char hex[DIGEST_TEXT_SIZE];
	*layer_name = xasprintf("blobs/sha256/%s", digest_hex(&digest, hex));
	return bytes;
}

/* What stands at a name of a layout's folder instead of the file. */
enum damage { KEPT, GONE, SYMLINK_OUT, SYMLINK_IN, FIFO, FOLDER, PARENT_SYMLINK, LONGER };

static void damage_folder(
	const struct temporary_folder *folder, const char *name, enum damage damage)
{
	cleanup_free char *path = folder_path(folder, name);
	cleanup_free char *moved = folder_path(folder, "moved");
	cleanup_free char *blobs = folder_path(folder, "blobs");
	int fd;
	if (damage == KEPT)
		return;
	if (damage == PARENT_SYMLINK) {
		assert_int_equal(rename(blobs, moved), 0);
		assert_int_equal(symlink("moved", blobs), 0);
		return;
	}
	if (damage == LONGER) {
		fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
		assert_true(write(fd, "x", 1) == 1);
		close(fd);
		return;
	}
	assert_int_equal(rename(path, moved), 0);
	if (damage == SYMLINK_OUT)
		assert_int_equal(symlink("/etc/passwd", path), 0);
	else if (damage == SYMLINK_IN)
		assert_int_equal(symlink(moved, path), 0);
	else if (damage == FIFO)
		assert_int_equal(mkfifo(path, 0600), 0);
	else if (damage == FOLDER)
		assert_int_equal(mkdir(path, 0700), 0);
}

static void test_folder_files(void **state)
{
	(void)state;
	static const struct {
		const char *name; /* NULL: the layer's blob */
		enum damage damage;
		const char *words; /* NULL: it is right */
	} cases[] = {
		{NULL, KEPT, NULL},
		{NULL, GONE, "has no file blobs/sha256/"},
		{NULL, SYMLINK_OUT, "is a symlink or beyond one"},
		{NULL, SYMLINK_IN, "is a symlink or beyond one"},
		{NULL, PARENT_SYMLINK, "is a symlink or beyond one"},
		{NULL, FIFO, "is no regular file"},
		{NULL, FOLDER, "is no regular file"},
		{NULL, LONGER, "bytes, found"},
		{"index.json", SYMLINK_IN, "index.json is a symlink or beyond one"},
		{"index.json", GONE, "is a folder without index.json and blobs"},
		{"oci-layout", GONE, NULL},
		{"blobs", GONE, "is listed, but its content is not in this source"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer tar = {0};
		cleanup_free char *layer = NULL;
		cleanup_buffer struct buffer bytes = make_layout(&tar, &layer);
		cleanup_folder struct temporary_folder folder = folder_of(&bytes);
		damage_folder(
			&folder, cases[i].name != NULL ? cases[i].name : layer, cases[i].damage);
		const struct image_options options = {0};
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = image_open(folder.path, &options, &image, &err);
		if (cases[i].words != NULL) {
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
			assert_int_equal(strncmp(err.message, folder.path, strlen(folder.path)), 0);
			continue;
		}
		if (r < 0)
			fail_msg("%s", err.message);
		assert_int_equal(image->layer_count, 1);
		assert_layer(&image->layers[0], &tar);
	}
}

/* Names in an unpacked docker archive's manifest stay in the folder. */
static void test_folder_names(void **state)
{
	(void)state;
	static const struct {
		const char *layer;
		const char *words; /* NULL: it is right */
	} cases[] = {
		{"a/layer.tar", NULL},
		{"./a//layer.tar", NULL},
		{"a/../a/layer.tar", NULL},
		{"../outside", "has no file ../outside"},
		{"a/../../outside", "has no file a/../../outside"},
		{"/etc/passwd", "has no file etc/passwd"},
		{"", "manifest.json: Layers: the path is empty"},
		{".", "manifest.json: Layers: the path \".\" is that of the root"},
		{"a", "its a is no regular file"},
		{"a/layer.tar/x", "has no file a/layer.tar/x"},
	};
	cleanup_buffer struct buffer layer = make_layer("x");
	cleanup_free char *config = make_config("", &layer, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer bytes = {0};
		struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
		cleanup_free char *manifest =
			xasprintf("[{\"Config\":\"c.json\",\"Layers\":[\"%s\"]}]", cases[i].layer);
		builder_file(archive, "outside", layer.data, layer.len);
		builder_file(archive, "in/a/layer.tar", layer.data, layer.len);
		builder_text(archive, "in/c.json", config);
		builder_text(archive, "in/manifest.json", manifest);
		builder_end(archive);
		cleanup_folder struct temporary_folder folder = folder_of(&bytes);
		cleanup_free char *inner = folder_path(&folder, "in");
		const struct image_options options = {0};
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = image_open(inner, &options, &image, &err);
		if (cases[i].words != NULL)
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
		else if (r < 0)
			fail_msg("%s", err.message);
	}
}

/* A legacy archive: `repositories`, and layers a (lowest), b and c with the given json of b. */
static struct buffer make_legacy(const char *repositories, const char *middle)
{
	struct buffer bytes = {0};
	static const char *const names[] = {"a", "b", "c"};
	const char *jsons[] = {
		"{\"id\":\"a\",\"created\":\"2014-01-01T00:00:00Z\",\"author\":\"me\","
		"\"container_config\":{\"Cmd\":[\"/bin/sh\",\"-c\",\"one\"]}}",
		middle,
		"{\"id\":\"c\",\"parent\":\"b\",\"created\":\"2015-01-01T00:00:00Z\",\"Size\":7,"
		"\"architecture\":\"amd64\",\"os\":\"linux\",\"comment\":\"last\","
		"\"config\":{\"Env\":[\"A=1\"],\"Cmd\":[\"sh\"]}}",
	};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	for (size_t i = 0; i < 3; i++) {
		cleanup_buffer struct buffer layer = make_layer(names[i]);
		cleanup_free char *tar = xasprintf("%s/layer.tar", names[i]);
		cleanup_free char *json = xasprintf("%s/json", names[i]);
		cleanup_free char *version = xasprintf("%s/VERSION", names[i]);
		builder_text(archive, version, "1.0");
		builder_text(archive, json, jsons[i]);
		builder_file(archive, tar, layer.data, layer.len);
	}
	builder_text(archive, "repositories", repositories);
	builder_end(archive);
	return bytes;
}

#define REPOSITORIES "{\"x\":{\"1\":\"c\",\"2\":\"b\"},\"r.example/y\":{\"latest\":\"c\"}}"
#define MIDDLE "{\"id\":\"b\",\"parent\":\"a\",\"container_config\":{\"Cmd\":null}}"

static void test_legacy_choice(void **state)
{
	(void)state;
	static const struct {
		const char *name, *tag;
		const char *layers; /* NULL: an error with the words below */
		const char *words;  /* the name chosen */
	} cases[] = {
		{NULL, NULL, "abc", "x:1"},
		{"x", "1", "abc", "x:1"},
		{"x", "2", "ab", "x:2"},
		{"docker.io/library/x", "2", "ab", "x:2"},
		{"r.example/y", "latest", "abc", "r.example/y:latest"},
		{"z", "1", NULL, "has no image z:1; there are: x:1, r.example/y:latest, x:2"},
	};
	cleanup_buffer struct buffer bytes = make_legacy(REPOSITORIES, MIDDLE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct image_options options = {.name = cases[i].name, .tag = cases[i].tag};
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, &options, &image, &err);
		if (cases[i].layers == NULL) {
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
			continue;
		}
		if (r < 0)
			fail_msg("%s", err.message);
		assert_string_equal(image->name, cases[i].words);
		assert_int_equal(image->layer_count, strlen(cases[i].layers));
		for (size_t k = 0; k < image->layer_count; k++) {
			const char text[] = {cases[i].layers[k], '\0'};
			cleanup_buffer struct buffer layer = make_layer(text);
			assert_layer(&image->layers[k], &layer);
		}
	}
}

/* The whole config that is made of the layers' json files. */
static void test_legacy_config(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = make_legacy(REPOSITORIES, MIDDLE);
	cleanup_image struct image *image = NULL;
	struct error err;
	assert_int_equal(open_bytes(&bytes, NULL, &image, &err), 0);
	char ids[3][DIGEST_TEXT_SIZE];
	for (size_t i = 0; i < 3; i++)
		digest_text(&image->layers[i].diff_id, ids[i]);
	cleanup_free char *expected = xasprintf(
		"{\"created\":\"2015-01-01T00:00:00Z\",\"architecture\":\"amd64\",\"os\":\"linux\","
		"\"comment\":\"last\",\"config\":{\"Env\":[\"A=1\"],\"Cmd\":[\"sh\"]},\"history\":["
		"{\"created\":\"2014-01-01T00:00:00Z\",\"author\":\"me\","
		"\"created_by\":\"/bin/sh -c one\"},{},"
		"{\"created\":\"2015-01-01T00:00:00Z\",\"comment\":\"last\"}],"
		"\"rootfs\":{\"diff_ids\":[\"%s\",\"%s\",\"%s\"],\"type\":\"layers\"}}",
		ids[0], ids[1], ids[2]);
	assert_string_equal(json_object_to_json_string_ext(image->config,
				    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
		expected);
}

static void test_legacy_refused(void **state)
{
	(void)state;
	static const struct {
		const char *repositories, *middle;
		const char *words;
	} cases[] = {
		{"[]", MIDDLE, "repositories: document: expected an object, found an array"},
		{"{}", MIDDLE, "repositories: lists no image"},
		{"{\"x\":7}", MIDDLE, "repositories: x: expected an object, found a number"},
		{"{\"x\":{\"1\":7}}", MIDDLE, "repositories: 1: expected a string, found a number"},
		{"{\"x\":{\"1\":\"d\"}}", MIDDLE, "has no member d/json"},
		{"{\"x\":{\"1\":\"../c\"}}", MIDDLE, "has no member ../c/json"},
		{REPOSITORIES, "{\"parent\":\"c\"}", "layer c is among its own parents"},
		{REPOSITORIES, "{\"parent\":\"b\"}", "layer b is among its own parents"},
		{REPOSITORIES, "{\"parent\":\"z\"}", "has no member z/json"},
		{REPOSITORIES, "{\"parent\":1}", "b/json: parent: expected a string"},
		{REPOSITORIES, "[]", "b/json: document: expected an object"},
		{"{\"x\":{\"1\":\"b\"}}", "{\"config\":[]}", "b/json: config: expected an object"},
		{"{\"x\":{\"1\":\"b\"}}", "{\"os\":\"windows\"}",
			"os: expected \"linux\", found \"windows\""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer bytes =
			make_legacy(cases[i].repositories, cases[i].middle);
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, NULL, &image, &err);
		assert_error(&err, r, ERROR_INPUT, cases[i].words);
	}
}

/* Which of the platforms in one index is taken. */
static void test_platforms(void **state)
{
	(void)state;
	static const struct {
		const char *platforms[4]; /* "" is none; NULL ends them */
		const char *architecture, *variant;
		const char *chosen; /* of the platforms; NULL: an error with the words */
		const char *words;
	} cases[] = {
		{{"", "linux/arm64", "linux/amd64"}, "amd64", NULL, "linux/amd64", NULL},
		{{"", "linux/arm64"}, "amd64", NULL, "", NULL},
		{{"linux/arm64", ""}, "amd64", NULL, "", NULL},
		{{"linux/arm64"}, "amd64", NULL, "linux/arm64", NULL},
		{{"windows/amd64", "linux/amd64"}, "amd64", NULL, "linux/amd64", NULL},
		{{"linux/arm/v6", "linux/arm/v7"}, "arm", NULL, "linux/arm/v6", NULL},
		{{"linux/arm/v7", "linux/arm/v6"}, "arm", NULL, "linux/arm/v6", NULL},
		{{"linux/amd64/v3", "linux/amd64/v2", "linux/amd64/v4"}, "amd64", NULL,
			"linux/amd64/v2", NULL},
		{{"linux/arm64/v10", "linux/arm64/v9", "linux/arm64/v8.1"}, "arm64", NULL,
			"linux/arm64/v8.1", NULL},
		{{"linux/amd64/v3", "linux/amd64/v2"}, "amd64", "v3", "linux/amd64/v3", NULL},
		{{"linux/arm64", "linux/amd64/v3"}, "amd64", NULL, "linux/amd64/v3", NULL},
		{{"linux/arm/v6", "linux/arm/v7"}, "arm", "v7", "linux/arm/v7", NULL},
		{{"linux/arm/v6", "linux/arm"}, "arm", "v7", "linux/arm", NULL},
		{{"linux/amd64/v3", "linux/amd64"}, "amd64", NULL, "linux/amd64", NULL},
		{{"linux/arm/v6", "linux/arm/v7"}, "arm", "v8", NULL,
			"has no image for linux/arm/v8; there are: linux/arm/v6, linux/arm/v7"},
		{{"linux/arm64", "windows/amd64"}, "amd64", NULL, NULL,
			"has no image for linux/amd64; there are: linux/arm64, windows/amd64"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer bytes = {0};
		cleanup_buffer struct buffer top = {0};
		struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
		buffer_add_text(&top, "{\"manifests\":[");
		for (size_t k = 0; k < 4 && cases[i].platforms[k] != NULL; k++) {
			char os[16] = "", architecture[16] = "", variant[16] = "";
			const char *platform = cases[i].platforms[k];
			int n = sscanf(platform, "%15[^/]/%15[^/]/%15s", os, architecture, variant);
			cleanup_free char *more =
				n == 3 ? xasprintf(",\"variant\":\"%s\"", variant) : xstrdup("");
			cleanup_free char *keys = n < 2 ? xstrdup("")
							: xasprintf(",\"platform\":{\"os\":\"%s\","
								    "\"architecture\":\"%s\"%s}",
								  os, architecture, more);
			cleanup_free char *descriptor = builder_oci_image(archive, platform, keys);
			buffer_printf(&top, "%s%s", k > 0 ? "," : "", descriptor);
		}
		buffer_add_text(&top, "]}");
		builder_file(archive, "index.json", top.data, top.len);
		builder_text(archive, "oci-layout", "{}");
		builder_end(archive);
		const struct image_options options = {
			.architecture = cases[i].architecture, .variant = cases[i].variant};
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, &options, &image, &err);
		if (cases[i].chosen == NULL) {
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
			continue;
		}
		if (r < 0)
			fail_msg("%s", err.message);
		cleanup_buffer struct buffer layer = make_layer(cases[i].chosen);
		assert_layer(&image->layers[0], &layer);
	}
}

/* An image for something else is taken, with one line. */
static void test_platform_warning(void **state)
{
	(void)state;
	static const struct {
		const char *config; /* keys of the config */
		const char *keys;   /* of the descriptor */
		const char *wanted, *variant;
		const char *warning; /* "": none */
	} cases[] = {
		{"\"architecture\":\"arm64\",", "", "arm64", NULL, ""},
		{"", "", "arm64", NULL, ""},
		{"\"architecture\":\"arm64\",", "", "amd64", NULL,
			"the image is for linux/arm64, not for linux/amd64"},
		{"", ",\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}", "amd64", NULL,
			"the image is for linux/s390x, not for linux/amd64"},
		{"\"architecture\":\"arm\",\"variant\":\"v6\",", "", "arm", "v7",
			"the image is for linux/arm/v6, not for linux/arm/v7"},
		{"\"architecture\":\"arm\",\"variant\":\"v6\",", "", "arm", NULL, ""},
		{"\"architecture\":\"sparc\",", "", NULL, NULL,
			"the image is for linux/sparc, not for linux/"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer bytes = {0};
		cleanup_buffer struct buffer layer = make_layer("x");
		struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
		cleanup_free char *config = make_config(cases[i].config, &layer, 1);
		cleanup_free char *a = builder_blob(archive, layer.data, layer.len, TYPE_LAYER, "");
		cleanup_free char *b =
			builder_blob(archive, config, strlen(config), TYPE_CONFIG, "");
		cleanup_free char *manifest = xasprintf("{\"config\":%s,\"layers\":[%s]}", b, a);
		cleanup_free char *c = builder_blob(
			archive, manifest, strlen(manifest), TYPE_MANIFEST, cases[i].keys);
		cleanup_free char *top = xasprintf("{\"manifests\":[%s]}", c);
		builder_text(archive, "index.json", top);
		builder_text(archive, "oci-layout", "{}");
		builder_end(archive);

		struct memory_file log = memory_file_new("", 0);
		struct report *report = report_new(REPORT_QUIET, log.fd);
		const struct image_options options = {.architecture = cases[i].wanted,
			.variant = cases[i].variant,
			.report = report};
		cleanup_image struct image *image = NULL;
		struct error err;
		if (open_bytes(&bytes, &options, &image, &err) < 0)
			fail_msg("%s", err.message);
		report_free(report);
		cleanup_buffer struct buffer text = memory_file_bytes(log.fd);
		buffer_add(&text, "", 1);
		close(log.fd);
		const char *words = (const char *)text.data;
		if (cases[i].warning[0] == '\0')
			assert_string_equal(words, "");
		else if (strstr(words, cases[i].warning) == NULL)
			fail_msg("expected \"%s\", found \"%s\"", cases[i].warning, words);
		if (cases[i].wanted == NULL)
			assert_non_null(strstr(words, architecture_of_host()));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixture_folders),
		cmocka_unit_test(test_folder_files),
		cmocka_unit_test(test_folder_names),
		cmocka_unit_test(test_legacy_choice),
		cmocka_unit_test(test_legacy_config),
		cmocka_unit_test(test_legacy_refused),
		cmocka_unit_test(test_platforms),
		cmocka_unit_test(test_platform_warning),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
