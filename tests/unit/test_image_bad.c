/* image_open on damaged and hostile archives: one clear error, or the same image as before. */
#include "image_builder.h"

#include <errno.h>

#include "image/archive_index.h"
#include "image/json_safe.h"
#include "support/json_scan.h"

/* A docker archive with the given manifest.json beside a right config and layer. */
static struct buffer docker_with(const char *manifest)
{
	struct buffer bytes = {0};
	cleanup_buffer struct buffer layer = make_layer("x");
	cleanup_free char *config = make_config("", &layer, 1);
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	builder_file(archive, "layer.tar", layer.data, layer.len);
	builder_text(archive, "c.json", config);
	builder_link(archive, "loop", "pool", false);
	builder_link(archive, "pool", "./loop", false);
	builder_link(archive, "self", "self", true);
	builder_link(archive, "out", "../../etc/passwd", false);
	builder_link(archive, "dangling", "nothing", false);
	builder_text(archive, "manifest.json", manifest);
	builder_end(archive);
	return bytes;
}

#define LAYERS(list) "[{\"Config\":\"c.json\",\"Layers\":" list "}]"

static void test_manifests(void **state)
{
	(void)state;
	static const struct {
		const char *manifest;
		const char *words; /* NULL: it is right */
	} cases[] = {
		{LAYERS("[\"layer.tar\"]"), NULL},
		{" \n" LAYERS("[\"layer.tar\"]") "\n", NULL},
		{"", "manifest.json: is empty, a JSON document is wanted"},
		{"[", "manifest.json:1:2: a value is wanted, the text ends here"},
		{"null", "document: expected an array, found null"},
		{"{}", "has neither \"manifests\" of an index nor \"config\" of a manifest"},
		{"{\"config\":\"c.json\"}", "config: expected an object, found a string"},
		{"[]", "lists no image"},
		{"[null]", "image: expected an object, found null"},
		{"[[]]", "image: expected an object, found an array"},
		{"[{}]", "Config: expected a string, found null"},
		{"[{\"Config\":3}]", "Config: expected a string, found a number"},
		{"[{\"Config\":\"nowhere\"}]", "has no member nowhere"},
		{"[{\"Config\":\"\"}]", "manifest.json: Config: the path is empty"},
		{"[{\"Config\":\"./\"}]", "Config: the path \"./\" is that of the root"},
		{"[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\",\"\"]}]",
			"RepoTags: a name is empty"},
		{"[{\"Config\":\"layer.tar\"}]", "image config layer.tar:1:1: a value is wanted"},
		{"[{\"Config\":\"c.json\"}]", "lists 0 layers, but the image config has 1"},
		{"[{\"Config\":\"c.json\",\"RepoTags\":\"x\"}]",
			"RepoTags: expected an array, found a string"},
		{"[{\"Config\":\"c.json\",\"RepoTags\":[null]}]",
			"RepoTags: expected a string, found null"},
		{"[{\"Config\":\"c.json\",\"Config\":\"c.json\"}]",
			"manifest.json:1:21: the key \"Config\" is there already"},
		{"[{\"Config\":\"c.json\\u0000\"}]",
			"manifest.json:1:19: U+0000 cannot be in a string"},
		{"[{'Config':1}]", "manifest.json:1:3: a key in"},
		{"[] x", "manifest.json:1:4: the end of the text is wanted"},
		{"[]]", "manifest.json:1:3: the end of the text is wanted"},
		{"[/* */]", "manifest.json:1:2: a value is wanted"},
		{"[NaN]", "manifest.json:1:2: a value is wanted"},
		{"[TRUE]", "manifest.json:1:2: a value is wanted"},
		{"[\"\xff\"]", "manifest.json:1:3: the byte 0xff is no UTF-8 here"},
		{LAYERS("[\"layer.tar\",\"\"]"), "manifest.json: Layers: the path is empty"},
		{LAYERS("[\"/\"]"), "Layers: the path \"/\" is that of the root"},
		{LAYERS("{}"), "Layers: expected an array, found an object"},
		{LAYERS("[7]"), "Layers: expected a string, found a number"},
		{LAYERS("[\"../../x\"]"), "has no member ../../x"},
		{LAYERS("[\"../layer.tar\"]"), "has no member ../layer.tar"},
		{LAYERS("[\"/etc/passwd\"]"), "has no member /etc/passwd"},
		{LAYERS("[\"out\"]"), "has no member out, or only a link to nowhere"},
		{LAYERS("[\"dangling\"]"), "has no member dangling, or only a link to nowhere"},
		{LAYERS("[\"loop\"]"), "loop leads through more than 40 links"},
		{LAYERS("[\"self\"]"), "self leads through more than 40 links"},
		{LAYERS("[\"c.json\"]"), "layer 1 of 1 (c.json): expected the diff ID sha256:"},
		{LAYERS("[\"layer.tar\",\"layer.tar\"]"), "lists 2 layers"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer bytes = docker_with(cases[i].manifest);
		cleanup_image struct image *image = NULL;
		struct error err = {0};
		int r = open_bytes(&bytes, NULL, &image, &err);
		if (cases[i].words != NULL)
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
		else if (r < 0)
			fail_msg("%s: %s", cases[i].manifest, err.message);
	}
}

/* What follows a NUL byte is seen. */
static void test_nul_byte(void **state)
{
	(void)state;
	static const char manifest[] = LAYERS("[\"layer.tar\"]") "\0[]";
	json_object *value = NULL;
	struct error err;
	int r = json_parse(manifest, sizeof(manifest) - 1, "text", &value, &err);
	assert_error(&err, r, ERROR_INPUT,
		"text:1:45: the end of the text is wanted, found the byte 0x00");
	assert_int_equal(json_parse(manifest, strlen(manifest), "text", &value, &err), 0);
	json_object_put(value);
}

static void test_json_limits(void **state)
{
	(void)state;
	static const struct {
		size_t depth, padding;
		const char *words;
	} cases[] = {
		{100000, 0, "manifest.json:1:65: objects and lists are nested deeper than 64"},
		{1, (size_t)9 << 20, "more than the limit of 8388608 for a JSON document"},
	};
	for (size_t i = 0; i < 2; i++) {
		cleanup_buffer struct buffer text = {0};
		memset(buffer_reserve(&text, cases[i].depth), '[', cases[i].depth);
		text.len = cases[i].depth;
		memset(buffer_reserve(&text, cases[i].padding + 1), ' ', cases[i].padding);
		text.len += cases[i].padding;
		cleanup_free char *manifest = buffer_steal_text(&text);
		cleanup_buffer struct buffer bytes = docker_with(manifest);
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, NULL, &image, &err);
		assert_error(&err, r, ERROR_INPUT, cases[i].words);
	}
}

/* Empty objects are three bytes of text each, and hundreds in memory. */
static void test_json_containers(void **state)
{
	(void)state;
	for (unsigned extra = 0; extra < 2; extra++) {
		cleanup_buffer struct buffer text = {0};
		buffer_add_text(&text, "[\"[{\"");
		for (unsigned i = 0; i < JSON_CONTAINERS_MAX - 1 + extra; i++)
			buffer_add_text(&text, ",{}");
		buffer_add_text(&text, "]");
		cleanup_json json_object *value = NULL;
		struct error err;
		int r = json_parse(text.data, text.len, "it", &value, &err);
		if (extra == 0)
			assert_int_equal(r, 0);
		else
			assert_error(&err, r, ERROR_INPUT,
				"it:1:300004: more than 100000 objects and lists");
	}
}

#define DIFF_IDS(list) "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":" list "}"

static void test_configs(void **state)
{
	(void)state;
	static const struct {
		const char *config;
		const char *words;
	} cases[] = {
		{"[]", "document: expected an object, found an array"},
		{"{}", "rootfs: expected an object, found null"},
		{"{\"rootfs\":7}", "rootfs: expected an object, found a number"},
		{"{" DIFF_IDS("7") "}", "diff_ids: expected an array, found a number"},
		{"{" DIFF_IDS("[7]") "}", "diff_ids: expected a string, found a number"},
		{"{" DIFF_IDS("[\"sha256:12\"]") "}", "hexadecimal digits, found \"sha256:12\""},
		{"{\"os\":\"windows\"," DIFF_IDS("[]") "}",
			"image config: os: expected \"linux\", found \"windows\""},
		{"{\"config\":[]," DIFF_IDS("[]") "}", "config: expected an object"},
		{"{\"config\":{\"Env\":{}}," DIFF_IDS("[]") "}", "Env: expected an array"},
		{"{\"config\":{\"Env\":[1]}," DIFF_IDS("[]") "}", "Env: expected a string"},
		{"{\"config\":{\"Labels\":[]}," DIFF_IDS("[]") "}", "Labels: expected an object"},
		{"{\"history\":{}," DIFF_IDS("[]") "}", "history: expected an array"},
		{"{\"history\":[null]," DIFF_IDS("[]") "}", "history: expected an object"},
		{"{\"history\":[{\"empty_layer\":1}]," DIFF_IDS("[]") "}",
			"empty_layer: expected a boolean"},
		{"{\"architecture\":[]," DIFF_IDS("[]") "}", "architecture: expected a string"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer bytes = {0};
		struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
		builder_text(archive, "c.json", cases[i].config);
		builder_text(archive, "manifest.json", "[{\"Config\":\"c.json\"}]");
		builder_end(archive);
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, NULL, &image, &err);
		assert_error(&err, r, ERROR_INPUT, cases[i].words);
		assert_non_null(strstr(err.message, "image config"));
	}
}

/* Names that promise a digest: the bytes must have it. */
static void test_named_digests(void **state)
{
	(void)state;
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	static const struct {
		const char *config, *layer; /* formats for 64 digits */
		const char *words;
	} cases[] = {
		{"%s.json", "%s/layer.tar", "image config"},
		{"sha256:%s", "%s/layer.tar", "image config"},
		{"blobs/sha256/%s", "%s/layer.tar", "image config"},
		{"config", "blobs/sha256/%s", "layer 1 of 1"},
		{"config", "x/blobs/sha256/%s", "layer 1 of 1"},
		{"config", "%s/layer.tar", NULL},
	};
	cleanup_buffer struct buffer layer = make_layer("x");
	cleanup_free char *config = make_config("", &layer, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char names[2][128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(names[0], sizeof(names[0]), cases[i].config, zeros);
		snprintf(names[1], sizeof(names[1]), cases[i].layer, zeros);
#pragma GCC diagnostic pop
		cleanup_free char *manifest =
			xasprintf("[{\"Config\":\"%s\",\"Layers\":[\"%s\"]}]", names[0], names[1]);
		cleanup_buffer struct buffer bytes = {0};
		struct archive *archive = builder_new(&bytes, archive_write_set_format_pax);
		builder_text(archive, names[0], config);
		builder_file(archive, names[1], layer.data, layer.len);
		builder_text(archive, "manifest.json", manifest);
		builder_end(archive);
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, NULL, &image, &err);
		if (cases[i].words == NULL) {
			assert_int_equal(r, 0);
			continue;
		}
		assert_error(&err, r, ERROR_INPUT, cases[i].words);
		assert_non_null(strstr(err.message, "expected the digest sha256:0000"));
	}
}

/* index.json with one descriptor made from a right one by replacing a piece of its text. */
static void test_descriptors(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to;
		const char *words; /* NULL: it is right */
	} cases[] = {
		{"", "", NULL},
		{"\"size\":", "\"size\":1", "bytes, found "},
		{"\"size\":", "\"size\":-", "is negative"},
		{"\"size\":", "\"size\":0.", "size: expected a number"},
		{"\"digest\":\"sha256", "\"digest\":\"sha512",
			"index.json: digest: unsupported algorithm sha512; sha256 is read"},
		{"\"digest\":\"sha256:", "\"digest\":\"sha256:0",
			"64 hexadecimal digits, found \"sha256:0"},
		{"\"digest\":\"sha256:", "\"digest\":\"SHA256:",
			"64 hexadecimal digits, found \"SHA256:"},
		{"\"digest\"", "\"digset\"", "digest: expected a string, found null"},
		{"oci.image.manifest", "oci.image.banana", "lists no image"},
		{"oci.image.manifest", "oci.image.index",
			"stands for an index, but this is a manifest"},
		{"\"annotations\":{}", "\"annotations\":[]", "annotations: expected an object"},
		{"\"annotations\":{}", "\"platform\":[]", "platform: expected an object"},
		{"\"annotations\":{}", "\"platform\":{\"os\":\"unknown\"}", "lists no image"},
		{"\"annotations\":{}",
			"\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}",
			"lists no image"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer bytes = {0};
		struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
		cleanup_free char *right = builder_oci_image(archive, "x", ",\"annotations\":{}");
		char *at = strstr(right, cases[i].from);
		assert_non_null(at);
		cleanup_free char *top = xasprintf("{\"manifests\":[%.*s%s%s]}", (int)(at - right),
			right, cases[i].to, at + strlen(cases[i].from));
		builder_text(archive, "index.json", top);
		builder_text(archive, "oci-layout", "{}");
		builder_end(archive);
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, NULL, &image, &err);
		if (cases[i].words != NULL)
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
		else if (r < 0)
			fail_msg("%s", err.message);
	}
}

/* A manifest of the right size and name, with another digest. */
static void test_manifest_digest(void **state)
{
	(void)state;
	static const char zeros[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	cleanup_buffer struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	cleanup_free char *top = xasprintf("{\"manifests\":[{\"mediaType\":\"" TYPE_MANIFEST
					   "\",\"digest\":\"sha256:%s\",\"size\":2}]}",
		zeros);
	cleanup_free char *name = xasprintf("blobs/sha256/%s", zeros);
	builder_text(archive, name, "{}");
	builder_text(archive, "index.json", top); /* and no oci-layout: the blobs tell */
	builder_end(archive);
	cleanup_image struct image *image = NULL;
	struct error err;
	int r = open_bytes(&bytes, NULL, &image, &err);
	assert_error(&err, r, ERROR_INPUT, "expected the digest sha256:0000");
}

/* Forty links lead to the layer, forty-one are too many. */
static void test_link_limit(void **state)
{
	(void)state;
	cleanup_buffer struct buffer layer = make_layer("x");
	cleanup_free char *config = make_config("", &layer, 1);
	for (unsigned links = 40; links <= 41; links++) {
		cleanup_buffer struct buffer bytes = {0};
		struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
		builder_file(archive, "0", layer.data, layer.len);
		builder_text(archive, "c.json", config);
		for (unsigned i = 1; i <= links; i++) {
			char name[8];
			char target[8];
			snprintf(name, sizeof(name), "%u", i);
			snprintf(target, sizeof(target), "%u", i - 1);
			builder_link(archive, name, target, i % 2 == 0);
		}
		cleanup_free char *manifest =
			xasprintf("[{\"Config\":\"c.json\",\"Layers\":[\"%u\"]}]", links);
		builder_text(archive, "manifest.json", manifest);
		builder_end(archive);
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, NULL, &image, &err);
		if (links == 40)
			assert_int_equal(r, 0);
		else
			assert_error(&err, r, ERROR_INPUT, "more than 40 links");
	}
}

/* Nine indexes inside one another. */
static void test_nested_indexes(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	cleanup_free char *descriptor = builder_oci_image(archive, "x", "");
	for (unsigned i = 0; i < 9; i++) {
		cleanup_free char *index = xasprintf("{\"manifests\":[%s]}", descriptor);
		free(descriptor);
		descriptor = builder_blob(archive, index, strlen(index), TYPE_INDEX, "");
	}
	cleanup_free char *top = xasprintf("{\"manifests\":[%s]}", descriptor);
	builder_text(archive, "index.json", top);
	builder_text(archive, "oci-layout", "{}");
	builder_end(archive);
	cleanup_image struct image *image = NULL;
	struct error err;
	int r = open_bytes(&bytes, NULL, &image, &err);
	assert_error(&err, r, ERROR_INPUT, "nested deeper than the limit of 8");
}

/* An archive with a plain, a gzip and a zstd layer. */
static struct buffer sample(void)
{
	struct buffer tars[3];
	struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_pax);
	static int (*const filters[])(struct archive *) = {
		NULL, archive_write_add_filter_gzip, archive_write_add_filter_zstd};
	builder_text(archive, "manifest.json",
		"[{\"Config\":\"c.json\",\"RepoTags\":[\"a:b\"],\"Layers\":[\"0\",\"1\",\"2\"]}]");
	for (size_t i = 0; i < 3; i++) {
		char name[2] = {(char)('0' + i), '\0'};
		tars[i] = make_layer(name);
		cleanup_buffer struct buffer blob = compress(&tars[i], filters[i]);
		builder_file(archive, name, blob.data, blob.len);
	}
	cleanup_free char *config = make_config("", tars, 3);
	builder_text(archive, "c.json", config);
	builder_end(archive);
	for (size_t i = 0; i < 3; i++)
		buffer_free(&tars[i]);
	return bytes;
}

/* Either an error with words, or the image with its true layers. */
static void check_damaged(const struct buffer *bytes, const struct digest *chain)
{
	cleanup_image struct image *image = NULL;
	struct error err = {0};
	int r = open_bytes(bytes, NULL, &image, &err);
	if (r < 0) {
		assert_true(err.kind == ERROR_INPUT || err.kind == ERROR_LIMIT);
		assert_true(err.message[0] != '\0');
	} else if (!image->from_rootfs) {
		assert_int_equal(image->layer_count, 3);
		struct digest found = image_chain_id(image, 3);
		assert_true(digest_equal(&found, chain));
	}
}

static void test_truncated(void **state)
{
	(void)state;
	static int (*const filters[])(struct archive *) = {NULL, archive_write_add_filter_gzip,
		archive_write_add_filter_zstd, archive_write_add_filter_xz,
		archive_write_add_filter_bzip2};
	cleanup_buffer struct buffer plain = sample();
	for (size_t f = 0; f < 5; f++) {
		cleanup_buffer struct buffer bytes = compress(&plain, filters[f]);
		cleanup_image struct image *image = NULL;
		struct error err;
		assert_int_equal(open_bytes(&bytes, NULL, &image, &err), 0);
		struct digest chain = image_chain_id(image, 3);
		size_t step = bytes.len / 150 + 1;
		for (size_t len = 0; len < bytes.len; len += step) {
			struct buffer cut = {.data = bytes.data, .len = len};
			check_damaged(&cut, &chain);
		}
	}
}

static void test_random_damage(void **state)
{
	(void)state;
	unsigned seed = test_seed();
	cleanup_buffer struct buffer bytes = sample();
	cleanup_image struct image *image = NULL;
	struct error err;
	assert_int_equal(open_bytes(&bytes, NULL, &image, &err), 0);
	struct digest chain = image_chain_id(image, 3);
	for (unsigned round = 0; round < 400; round++) {
		size_t at[3];
		uint8_t old[3];
		for (size_t i = 0; i < 3; i++) {
			at[i] = (size_t)rand_r(&seed) % bytes.len;
			old[i] = bytes.data[at[i]];
			bytes.data[at[i]] = (uint8_t)rand_r(&seed);
		}
		check_damaged(&bytes, &chain);
		for (size_t i = 3; i > 0; i--)
			bytes.data[at[i - 1]] = old[i - 1];
	}
}

/* A root file system tar has nothing that vouches for its end but the end marker. */
static void test_cut_rootfs(void **state)
{
	(void)state;
	cleanup_buffer struct buffer tar = make_layer("0123456789");
	static const struct {
		size_t len;
		const char *words; /* NULL: it is right */
	} cases[] = {
		{0, "is no tar"},
		{300, "is no tar"},
		{512, "ends at byte 512, within its member file of 10 bytes"},
		{517, "ends at byte 517, within its member file of 10 bytes"},
		{700, "Truncated"},
		{1024, "has no end marker: it was cut short"},
		{1536, NULL},
		{2048, NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buffer cut = {.data = tar.data, .len = cases[i].len};
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&cut, NULL, &image, &err);
		if (cases[i].words != NULL)
			assert_error(&err, r, ERROR_INPUT, cases[i].words);
		else
			assert_int_equal(r, 0);
	}
}

static void test_no_archive(void **state)
{
	(void)state;
	static const char zeros[10240];
	struct buffer empty = {.data = (uint8_t *)zeros, .len = sizeof(zeros)};
	struct image_options options = {0};
	cleanup_image struct image *image = NULL;
	struct error err;
	int r = open_bytes(&empty, NULL, &image, &err);
	assert_error(&err, r, ERROR_INPUT, "is a tar without members");
	r = image_open("/proc/self/fd", &options, &image, &err);
	assert_error(&err, r, ERROR_INPUT, "is a folder");
	r = image_open("/nonexistent/base.tar", &options, &image, &err);
	assert_error(&err, r, ERROR_INPUT, "/nonexistent/base.tar: cannot open: No such file");
	assert_int_equal(r, -ENOENT);
}

/*
 * More members than an image archive may have: with a manifest an error, else a file system,
 * whose end is looked at all the same.
 */
static void test_member_limit(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		cleanup_buffer struct buffer bytes = {0};
		struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
		builder_text(archive, round == 0 ? "manifest.json" : "some.json", "[]");
		for (unsigned i = 0; i < INDEX_MEMBERS_MAX; i++) {
			char name[16];
			snprintf(name, sizeof(name), "%u", i);
			builder_file(archive, name, "", 0);
		}
		builder_end(archive);
		if (round == 2) /* without its last member and the blocks of zeros */
			bytes.len = (INDEX_MEMBERS_MAX + 1) * (size_t)512;
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, NULL, &image, &err);
		if (round == 0)
			assert_error(&err, r, ERROR_LIMIT, "more members than the limit of 100000");
		else if (round == 1)
			assert_int_equal(r, 0);
		else
			assert_error(&err, r, ERROR_INPUT, "has no end marker");
	}
}

/* Long names, which take little in a compressed archive, do not fill the memory. */
static void test_name_limit(void **state)
{
	(void)state;
	size_t len = (size_t)512 << 10;
	cleanup_buffer struct buffer bytes = {0};
	cleanup_free char *name = xmalloc(len + 1);
	memset(name, 'a', len);
	name[len] = '\0';
	struct archive *archive = builder_new(&bytes, archive_write_set_format_gnutar);
	builder_text(archive, "first", "");
	for (size_t i = 0; i <= INDEX_NAMES_MAX / len; i++) {
		name[0] = (char)('0' + i / 16 % 16);
		name[1] = (char)('0' + i % 16);
		builder_text(archive, name, "");
	}
	builder_end(archive);
	struct memory_file file = memory_file_new(bytes.data, bytes.len);
	cleanup_index struct archive_index index = {0};
	struct error err;
	assert_int_equal(index_read(file.fd, bytes.len, file.path, &index, &err), 0);
	close(file.fd);
	assert_true(index.is_cut);
	assert_true(index.has_end);
	assert_int_equal(index.count, INDEX_NAMES_MAX / len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifests),
		cmocka_unit_test(test_nul_byte),
		cmocka_unit_test(test_json_limits),
		cmocka_unit_test(test_json_containers),
		cmocka_unit_test(test_configs),
		cmocka_unit_test(test_named_digests),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_manifest_digest),
		cmocka_unit_test(test_link_limit),
		cmocka_unit_test(test_nested_indexes),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_random_damage),
		cmocka_unit_test(test_cut_rootfs),
		cmocka_unit_test(test_no_archive),
		cmocka_unit_test(test_member_limit),
		cmocka_unit_test(test_name_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
