/*
 * The OCI image-spec v1.1, sentence by sentence where it obliges a reader: what is taken, and what
 * is refused in which words. Each case is named by its document and section.
 */
#include "image_builder.h"

#include <errno.h>

/* How a case differs from a right layout. The text is printed by spec_layout. */
struct spec_case {
	const char *section;
	/* Each NULL: as it should be. */
	const char *layout;     /* oci-layout; "": no such file */
	const char *index;      /* the whole index.json; %1$s: the right entry */
	const char *entry_type; /* of the entry of index.json */
	const char *manifest;   /* the whole manifest; %1$s: config, %2$s: layer */
	const char *config;     /* the whole config; %1$s: the diff ID */
	const char *config_type;
	const char *layer_type;
	const char *words; /* of the error; NULL: taken */
};

#define CONFIG(keys) "{" keys "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%1$s\"]}}"
#define MANIFEST(keys) "{" keys "\"config\":%1$s,\"layers\":[%2$s]}"
#define HELM "application/vnd.cncf.helm.config.v1+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"

static const struct spec_case cases[] = {
	{.section = "image-layout: all as written"},
	/* image-layout.md */
	{.section = "image-layout, oci-layout: the file may be missing", .layout = ""},
	{.section = "image-layout, oci-layout: JSON",
		.layout = "1.0.0",
		.words = "oci-layout:1:4: the end of the text is wanted"},
	{.section = "image-layout, oci-layout: an object",
		.layout = "[]",
		.words = "oci-layout: document: expected an object"},
	{.section = "image-layout, oci-layout: the version may be missing", .layout = "{}"},
	{.section = "image-layout, oci-layout: a version of the same kind",
		.layout = "{\"imageLayoutVersion\":\"1.1.0\"}"},
	{.section = "image-layout, oci-layout: another version",
		.layout = "{\"imageLayoutVersion\":\"2.0.0\"}",
		.words = "imageLayoutVersion: expected 1.0.0, found \"2.0.0\""},
	{.section = "image-layout, oci-layout: further keys", .layout = "{\"x\":[1]}"},
	{.section = "image-layout, index.json: an index",
		.index = MANIFEST("") "%1$.0s",
		.words = "index.json: "},
	{.section = "image-layout, index.json: entries of unknown types are passed over",
		.index = "{\"manifests\":[{\"mediaType\":\"x/y\",\"digest\":\"sha256:"
			 "0000000000000000000000000000000000000000000000000000000000000000\","
			 "\"size\":1},%1$s]}"},
	/* image-index.md */
	{.section = "image-index, schemaVersion: 2",
		.index = "{\"schemaVersion\":2,\"manifests\":[%1$s]}"},
	{.section = "image-index, schemaVersion: another one",
		.index = "{\"schemaVersion\":1,\"manifests\":[%1$s]}",
		.words = "schemaVersion: expected 2, found 1"},
	{.section = "image-index, schemaVersion: a number",
		.index = "{\"schemaVersion\":\"2\",\"manifests\":[%1$s]}",
		.words = "schemaVersion: expected a number, found a string"},
	{.section = "image-index, mediaType: of an index",
		.index = "{\"mediaType\":\"" TYPE_INDEX "\",\"manifests\":[%1$s]}"},
	{.section = "image-index, mediaType: of Docker's list",
		.index = "{\"mediaType\":\"" DOCKER_LIST "\",\"manifests\":[%1$s]}"},
	{.section = "image-index, mediaType: of a manifest",
		.index = "{\"mediaType\":\"" TYPE_MANIFEST "\",\"manifests\":[%1$s]}",
		.words = "stands for a manifest, but this is an index"},
	{.section = "image-index, mediaType: unknown",
		.index = "{\"mediaType\":\"x/y\",\"manifests\":[%1$s]}",
		.words = "index.json: mediaType: x/y stands for neither"},
	{.section = "image-index, manifests: required",
		.index = "{\"schemaVersion\":2}%1$.0s",
		.words = "has neither \"manifests\" of an index nor \"config\" of a manifest"},
	{.section = "image-index, manifests: may be empty",
		.index = "{\"manifests\":[]}%1$.0s",
		.words = "index.json: lists no image"},
	{.section = "image-index, manifests: a list",
		.index = "{\"manifests\":{}}%1$.0s",
		.words = "manifests: expected an array"},
	{.section = "image-index, manifests: and layers (CVE-2021-41190)",
		.index = "{\"manifests\":[%1$s],\"layers\":[]}",
		.words = "has both \"manifests\" of an index and \"layers\" of a manifest"},
	{.section = "image-index, manifests: and config (CVE-2021-41190)",
		.index = "{\"manifests\":[%1$s],\"config\":{}}",
		.words = "has both \"manifests\" of an index and \"config\" of a manifest"},
	{.section = "image-index, manifests: and layers that are null",
		.index = "{\"manifests\":[%1$s],\"layers\":null}"},
	{.section = "image-index, annotations: of any kind",
		.index = "{\"manifests\":[%1$s],\"annotations\":{\"a\":\"b\"},\"x\":1}"},
	/* manifest.md */
	{.section = "manifest, schemaVersion: another one",
		.manifest = MANIFEST("\"schemaVersion\":3,"),
		.words = "schemaVersion: expected 2, found 3"},
	{.section = "manifest, schemaVersion: Docker's 1",
		.manifest = "{\"schemaVersion\":1,\"fsLayers\":[]}%1$.0s%2$.0s",
		.words = "is a manifest of Docker's schema 1"},
	{.section = "manifest, mediaType: its own",
		.manifest = MANIFEST("\"mediaType\":\"" TYPE_MANIFEST "\",")},
	{.section = "manifest, mediaType: another than the descriptor's",
		.manifest = MANIFEST("\"mediaType\":\"" DOCKER_MANIFEST "\","),
		.words = "mediaType: expected " TYPE_MANIFEST ", found " DOCKER_MANIFEST},
	{.section = "manifest, mediaType: of an index",
		.manifest = MANIFEST("\"mediaType\":\"" TYPE_INDEX "\","),
		.words = "stands for an index, but this is a manifest"},
	{.section = "manifest, mediaType: no text",
		.manifest = MANIFEST("\"mediaType\":1,"),
		.words = "mediaType: expected a string"},
	{.section = "manifest: and manifests (CVE-2021-41190)",
		.manifest = MANIFEST("\"manifests\":[],"),
		.words = "has both \"manifests\" of an index and \"config\" of a manifest"},
	{.section = "manifest, config: required",
		.manifest = "{\"layers\":[%2$s]}%1$.0s",
		.words = "config: expected an object, found null"},
	{.section = "manifest, config: another type is no image",
		.config_type = HELM,
		.words = "is no container image but an artifact of type " HELM},
	{.section = "manifest, layers: a list",
		.manifest = "{\"config\":%1$s,\"layers\":{}}%2$.0s",
		.words = "layers: expected an array"},
	{.section = "manifest, layers: as many as the config says",
		.manifest = "{\"config\":%1$s,\"layers\":[]}%2$.0s",
		.words = "lists 0 layers, but the image config has 1"},
	{.section = "manifest, layers: unknown types are no error", .layer_type = "x/y"},
	{.section = "manifest, layers: types that must not be pushed",
		.layer_type = "application/vnd.oci.image.layer.nondistributable.v1.tar"},
	{.section = "manifest, subject, artifactType, unknown keys: passed over",
		.manifest = MANIFEST("\"subject\":{\"digest\":\"sha512:00\"},\"artifactType\":\"a/"
				     "b\",\"x\":1,")},
	/* descriptor.md */
	{.section = "descriptor, mediaType: old writers left it out", .entry_type = ""},
	{.section = "descriptor, mediaType: another kind than what is there",
		.entry_type = TYPE_INDEX,
		.words = "its descriptor's mediaType: " TYPE_INDEX
			 " stands for an index, but this is a manifest"},
	{.section = "descriptor, digest: other algorithms",
		.index = "{\"manifests\":[{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha512:"
			 "cf83e1\",\"size\":1}]}%1$.0s",
		.words = "index.json: digest: unsupported algorithm sha512"},
	{.section = "descriptor, digest: algorithms with separators",
		.index = "{\"manifests\":[{\"mediaType\":\"" TYPE_MANIFEST
			 "\",\"digest\":\"multihash+base58:Qm=\",\"size\":1}]}%1$.0s",
		.words = "unsupported algorithm multihash+base58"},
	{.section = "descriptor, digest: the grammar",
		.index = "{\"manifests\":[{\"mediaType\":\"" TYPE_MANIFEST
			 "\",\"digest\":\"sha512\",\"size\":1}]}%1$.0s",
		.words =
			"digest: expected \"sha256:\" and 64 hexadecimal digits, found \"sha512\""},
	{.section = "descriptor, digest: sha256 in lower case",
		.index = "{\"manifests\":[{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha256:"
			 "ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD\","
			 "\"size\":1}]}%1$.0s",
		.words = "64 hexadecimal digits"},
	{.section = "descriptor, size: required",
		.index = "{\"manifests\":[{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha256:"
			 "0000000000000000000000000000000000000000000000000000000000000000\"}]}"
			 "%1$.0s",
		.words = "size: expected a number, found null"},
	{.section = "descriptor, annotations: texts",
		.manifest = "{\"config\":%1$s,\"annotations\":{},\"layers\":[{\"digest\":\"sha256:"
			    "0000000000000000000000000000000000000000000000000000000000000000\","
			    "\"size\":1,\"annotations\":{\"a\":1}}]}%2$.0s",
		.words = "a: expected a string, found a number"},
	{.section = "descriptor, urls, data, artifactType: passed over",
		.config_type =
			TYPE_CONFIG "\",\"urls\":[\"http://x/\"],\"data\":\"e30=\",\"x\":\"y"},
	/* config.md */
	{.section = "config: an object",
		.config = "[]%1$.0s",
		.words = "document: expected an object"},
	{.section = "config, os and architecture: may be missing", .config = CONFIG("")},
	{.section = "config, os: another one",
		.config = CONFIG("\"os\":\"windows\","),
		.words = "os: expected \"linux\", found \"windows\""},
	{.section = "config, architecture: a text",
		.config = CONFIG("\"architecture\":1,"),
		.words = "architecture: expected a string"},
	{.section = "config, unknown keys: passed over", .config = CONFIG("\"x\":{\"y\":[1.5]},")},
	{.section = "config, rootfs: required",
		.config = "{}%1$.0s",
		.words = "rootfs: expected an object, found null"},
	{.section = "config, rootfs.type: may be missing",
		.config = "{\"rootfs\":{\"diff_ids\":[\"%1$s\"]}}"},
	{.section = "config, rootfs.type: an unknown one is an error",
		.config = "{\"rootfs\":{\"type\":\"chunks\",\"diff_ids\":[\"%1$s\"]}}",
		.words = "rootfs.type: expected \"layers\", found \"chunks\""},
	{.section = "config, rootfs.diff_ids: of another layer",
		.config = "{\"rootfs\":{\"diff_ids\":[\"sha256:"
			  "0000000000000000000000000000000000000000000000000000000000000000\"]}}%1$"
			  ".0s",
		.words = "expected the diff ID sha256:0000"},
	{.section = "config, rootfs.diff_ids: other algorithms",
		.config = "{\"rootfs\":{\"diff_ids\":[\"sha512:ab\"]}}%1$.0s",
		.words = "rootfs.diff_ids: unsupported algorithm sha512"},
	{.section = "config, history: a list of objects",
		.config = CONFIG("\"history\":[1],"),
		.words = "history: expected an object"},
	{.section = "config, history, empty_layer: true or false",
		.config = CONFIG("\"history\":[{\"empty_layer\":1}],"),
		.words = "empty_layer: expected a boolean"},
	{.section = "config, config.Volumes: an object",
		.config = CONFIG("\"config\":{\"Volumes\":[\"/a\"]},"),
		.words = "Volumes: expected an object"},
	{.section = "config, config: keys that are null",
		.config = CONFIG("\"config\":{\"Env\":null,\"Volumes\":null,\"OnBuild\":null},")},
	/* What is kept cannot be kept as it is: json_scan. */
	{.section = "config, unknown keys: numbers of more than 64 bits",
		.config = CONFIG("\"x\":18446744073709551616,"),
		.words = "does not fit 64 bits"},
	{.section = "config, unknown keys: U+0000",
		.config = CONFIG("\"x\":\"a\\u0000\","),
		.words = "U+0000 cannot be in a string"},
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static char *print(const char *format, const char *first, const char *second)
{
	return xasprintf(format, first, second);
}
#pragma GCC diagnostic pop

static const char *either(const char *text, const char *usual)
{
	return text != NULL ? text : usual;
}

static struct buffer spec_layout(const struct spec_case *c, const struct buffer *layer)
{
	struct buffer bytes = {0};
	char id[DIGEST_TEXT_SIZE];
	struct digest diff_id = digest_of(layer->data, layer->len);
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	cleanup_free char *config =
		print(either(c->config, CONFIG("")), digest_text(&diff_id, id), "");
	cleanup_free char *a = builder_blob(
		archive, layer->data, layer->len, either(c->layer_type, TYPE_LAYER), "");
	cleanup_free char *b = builder_blob(
		archive, config, strlen(config), either(c->config_type, TYPE_CONFIG), "");
	cleanup_free char *manifest = print(either(c->manifest, MANIFEST("")), b, a);
	cleanup_free char *entry = builder_blob(
		archive, manifest, strlen(manifest), either(c->entry_type, TYPE_MANIFEST), "");
	cleanup_free char *index = print(either(c->index, "{\"manifests\":[%1$s]}"), entry, entry);
	const char *layout = either(c->layout, "{\"imageLayoutVersion\":\"1.0.0\"}");
	builder_text(archive, "index.json", index);
	if (*layout != '\0')
		builder_text(archive, "oci-layout", layout);
	builder_end(archive);
	return bytes;
}

static int list_bytes(const struct buffer *bytes, struct error *err)
{
	cleanup_image_source struct image_source *source = NULL;
	cleanup_image_list struct image_list *list = NULL;
	struct memory_file file = memory_file_new(bytes->data, bytes->len);
	int r = image_source_open(file.path, &source, err);
	if (r == 0)
		r = image_source_list(source, &list, err);
	close(file.fd);
	return r;
}

static void test_spec(void **state)
{
	(void)state;
	cleanup_buffer struct buffer layer = make_layer("x");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct spec_case *c = &cases[i];
		cleanup_buffer struct buffer bytes = spec_layout(c, &layer);
		cleanup_image struct image *image = NULL;
		struct error err = {0};
		int r = open_bytes(&bytes, NULL, &image, &err);
		if (c->words == NULL && r < 0)
			fail_msg("%s: %s", c->section, err.message);
		if (c->words != NULL && (r >= 0 || strstr(err.message, c->words) == NULL))
			fail_msg("%s: expected \"%s\", found \"%s\"", c->section, c->words,
				err.message);
		if (c->words != NULL)
			assert_int_equal(err.kind, ERROR_INPUT);
		else
			assert_layer(&image->layers[0], &layer);
		/* What is taken is listed too. */
		if (c->words == NULL && list_bytes(&bytes, &err) < 0)
			fail_msg("%s: %s", c->section, err.message);
	}
}

/* An index behind an entry that does not say what it points at, at every depth that is allowed. */
static void test_untyped_index(void **state)
{
	(void)state;
	for (unsigned levels = 1; levels <= 9; levels++) {
		cleanup_buffer struct buffer bytes = {0};
		struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
		cleanup_buffer struct buffer layer = make_layer("deep");
		char *entry = builder_oci_image(archive, "deep", "");
		for (unsigned i = 0; i < levels; i++) {
			cleanup_free char *index = xasprintf("{\"manifests\":[%s]}", entry);
			free(entry);
			entry = builder_blob(archive, index, strlen(index), "", "");
		}
		cleanup_free char *top = xasprintf("{\"manifests\":[%s]}", entry);
		free(entry);
		builder_text(archive, "index.json", top);
		builder_end(archive);
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = open_bytes(&bytes, NULL, &image, &err);
		int listed = list_bytes(&bytes, &err);
		if (levels == 9) {
			assert_error(&err, r, ERROR_INPUT, "nested deeper than the limit of 8");
			assert_error(
				&err, listed, ERROR_INPUT, "nested deeper than the limit of 8");
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(listed, 0);
		assert_layer(&image->layers[0], &layer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spec),
		cmocka_unit_test(test_untyped_index),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
