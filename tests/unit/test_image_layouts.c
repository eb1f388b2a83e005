/* Layouts beside the usual ones, what is said of a choice, and what goes on of a layer. */
#include "image_folder.h"

#include <errno.h>

#include "image/image.h"
#include "support/architecture.h"

/* The lines that opening the bytes gives; the caller frees them. */
static char *said_of(const char *path, const struct image_options *wanted, struct image **image)
{
	struct memory_file log = memory_file_new("", 0);
	struct report *report = report_new(REPORT_PLAIN, log.fd);
	struct image_options options = *wanted;
	struct error err;
	options.report = report;
	if (image_open(path, &options, image, &err) < 0)
		fail_msg("%s", err.message);
	report_free(report);
	struct buffer text = memory_file_bytes(log.fd);
	close(log.fd);
	return buffer_steal_text(&text);
}

static void assert_part(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("expected \"%s\" in \"%s\"", part, text);
}

/* Adds a file that is named by its digest, and gives its descriptor. */
static char *flat_blob(struct archive *archive, const struct buffer *bytes, const char *media_type,
	const char *ending)
{
	char text[DIGEST_TEXT_SIZE];
	struct digest digest = digest_of(bytes->data, bytes->len);
	cleanup_free char *name = xasprintf("d/%s%s", digest_hex(&digest, text), ending);
	builder_file(archive, name, bytes->data, bytes->len);
	return xasprintf("{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}", media_type,
		digest_text(&digest, text), bytes->len);
}

static struct buffer text_buffer(char *text)
{
	return (struct buffer){.data = (uint8_t *)text, .len = strlen(text)};
}

enum flat {
	FLAT_MANIFEST, /* skopeo copy X dir:D */
	FLAT_INDEX,    /* skopeo copy --all X dir:D */
	FLAT_DAMAGED,  /* a layer that is another one */
	FLAT_MISSING,  /* no such layer */
};

/* A tar of what skopeo's dir: holds, in the folder d. */
static struct buffer make_flat(enum flat flat, const struct buffer *layer)
{
	struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	cleanup_free char *config = make_config("\"architecture\":\"s390x\",", layer, 1);
	struct buffer config_bytes = text_buffer(config);
	cleanup_buffer struct buffer other = make_layer("another");
	cleanup_buffer struct buffer rest = {0};
	struct archive *nowhere = builder_new(&rest, archive_write_set_format_ustar);
	cleanup_free char *a =
		flat_blob(flat == FLAT_MISSING ? nowhere : archive, layer, TYPE_LAYER, "");
	cleanup_free char *b = flat_blob(archive, &config_bytes, TYPE_CONFIG, "");
	cleanup_free char *manifest =
		xasprintf("{\"schemaVersion\":2,\"mediaType\":\"" TYPE_MANIFEST
			  "\",\"config\":%s,\"layers\":[%s]}",
			b, a);
	struct buffer manifest_bytes = text_buffer(manifest);
	if (flat == FLAT_INDEX) {
		cleanup_free char *c =
			flat_blob(archive, &manifest_bytes, TYPE_MANIFEST, ".manifest.json");
		cleanup_free char *index = xasprintf("{\"schemaVersion\":2,\"manifests\":[%s]}", c);
		builder_text(archive, "d/manifest.json", index);
	} else {
		builder_text(archive, "d/manifest.json", manifest);
	}
	if (flat == FLAT_DAMAGED) {
		char text[DIGEST_TEXT_SIZE];
		struct digest digest = digest_of(layer->data, layer->len);
		cleanup_free char *name = xasprintf("d/%s", digest_hex(&digest, text));
		assert_int_equal(other.len, layer->len);
		builder_file(archive, name, other.data, other.len);
	}
	builder_text(archive, "d/version", "Directory Transport Version: 1.1\n");
	builder_end(archive);
	builder_end(nowhere);
	return bytes;
}

static void test_flat(void **state)
{
	(void)state;
	static const char *const words[] = {
		[FLAT_MANIFEST] = NULL,
		[FLAT_INDEX] = NULL,
		[FLAT_DAMAGED] = "layer 1 of 1 (sha256:",
		[FLAT_MISSING] = "is listed, but its content is not in this source",
	};
	cleanup_buffer struct buffer layer = make_layer("x");
	for (enum flat flat = FLAT_MANIFEST; flat <= FLAT_MISSING; flat++) {
		cleanup_buffer struct buffer bytes = make_flat(flat, &layer);
		cleanup_folder struct temporary_folder folder = folder_of(&bytes);
		cleanup_free char *path = folder_path(&folder, "d");
		const struct image_options options = {.architecture = "s390x"};
		cleanup_image struct image *image = NULL;
		struct error err;
		int r = image_open(path, &options, &image, &err);
		if (words[flat] != NULL) {
			assert_error(&err, r, ERROR_INPUT, words[flat]);
			continue;
		}
		if (r < 0)
			fail_msg("%s", err.message);
		assert_layer(&image->layers[0], &layer);
		assert_null(image->name);
		cleanup_image_source struct image_source *source = NULL;
		cleanup_image_list struct image_list *list = NULL;
		assert_int_equal(image_source_open(path, &source, &err), 0);
		assert_int_equal(image_source_list(source, &list, &err), 0);
		assert_int_equal(list->layout, IMAGE_LAYOUT_DIR);
		assert_int_equal(list->count, 1);
		assert_string_equal(list->images[0].architecture, "s390x");
		assert_int_equal(list->images[0].layer_count, 1);
	}
}

/* A name does not choose what has none. */
static void test_flat_name(void **state)
{
	(void)state;
	cleanup_buffer struct buffer layer = make_layer("x");
	cleanup_buffer struct buffer bytes = make_flat(FLAT_MANIFEST, &layer);
	cleanup_folder struct temporary_folder folder = folder_of(&bytes);
	cleanup_free char *path = folder_path(&folder, "d");
	const struct image_options options = {.name = "x", .tag = "latest"};
	cleanup_image struct image *image = NULL;
	struct error err;
	int r = image_open(path, &options, &image, &err);
	assert_error(&err, r, ERROR_INPUT,
		"manifest.json: has no image x:latest; there are: one without a name");
}

/* An archive that was packed with its folder is told from a root file system. */
static void test_parent_folder(void **state)
{
	(void)state;
	static const struct {
		const char *names[4]; /* NULL ends them; a folder ends with '/' */
		bool is_told;
	} cases[] = {
		{{"d/manifest.json", "d/x.json", "d/l/layer.tar"}, true},
		{{"./", "./d/", "./d/index.json", "./d/blobs/sha256/0"}, true},
		{{"d/repositories", "d/a/layer.tar", "d/a/json"}, true},
		{{"d/manifest.json", "etc/passwd"}, false},
		{{"d/manifest.json", "d-x"}, false},
		{{"d/manifest.json/x"}, false},
		{{"srv/www/manifest.json", "srv/x"}, false},
		{{"file"}, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer bytes = {0};
		struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
		for (size_t k = 0; k < 4 && cases[i].names[k] != NULL; k++) {
			const char *name = cases[i].names[k];
			struct archive_entry *entry = archive_entry_new();
			archive_entry_set_pathname(entry, name);
			archive_entry_set_filetype(
				entry, name[strlen(name) - 1] == '/' ? S_IFDIR : S_IFREG);
			archive_entry_set_perm(entry, 0755);
			archive_entry_set_size(entry, 0);
			assert_true(archive_write_header(archive, entry) >= ARCHIVE_WARN);
			archive_entry_free(entry);
		}
		builder_end(archive);
		struct memory_file file = memory_file_new(bytes.data, bytes.len);
		const struct image_options options = {0};
		cleanup_image struct image *image = NULL;
		cleanup_free char *said = said_of(file.path, &options, &image);
		close(file.fd);
		assert_true(image->from_rootfs);
		if (cases[i].is_told)
			assert_part(said, "looks like an image archive in a folder; tar -C d -cf");
		else
			assert_string_equal(said, "");
	}
}

static struct buffer make_variants(void)
{
	struct buffer bytes = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	cleanup_free char *v3 = builder_oci_image(archive, "v3",
		",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"v3\"}");
	cleanup_free char *v2 = builder_oci_image(archive, "v2",
		",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"v2\"}");
	cleanup_free char *top = xasprintf(
		"{\"manifests\":[%s,%s,{\"mediaType\":\"" TYPE_MANIFEST "\",\"digest\":\"sha256:"
		"0000000000000000000000000000000000000000000000000000000000000000\",\"size\":1,"
		"\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}}]}",
		v3, v2);
	builder_text(archive, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	builder_text(archive, "index.json", top);
	builder_end(archive);
	return bytes;
}

/* The lowest variant, with a line; one that was asked for, without. */
static void test_variant_is_said(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = make_variants();
	struct memory_file file = memory_file_new(bytes.data, bytes.len);
	for (size_t i = 0; i < 2; i++) {
		const struct image_options options = {
			.architecture = "amd64", .variant = i == 0 ? NULL : "v3"};
		cleanup_image struct image *image = NULL;
		cleanup_free char *said = said_of(file.path, &options, &image);
		cleanup_buffer struct buffer layer = make_layer(i == 0 ? "v2" : "v3");
		assert_layer(&image->layers[0], &layer);
		if (i == 0)
			assert_part(said,
				"has several variants of amd64; takes the lowest, linux/amd64/v2");
		else
			assert_string_equal(said, "");
	}
	close(file.fd);
}

/* A platform that is listed, while the source holds another one only. */
static void test_platform_is_absent(void **state)
{
	(void)state;
	cleanup_buffer struct buffer bytes = make_variants();
	const struct image_options options = {.architecture = "arm64"};
	cleanup_image struct image *image = NULL;
	struct error err;
	int r = open_bytes(&bytes, &options, &image, &err);
	assert_error(&err, r, ERROR_INPUT,
		": linux/arm64 is listed, but its content is not in this source: ");
	assert_int_equal(r, -ENOENT);
}

/* An OCI archive whose layers are gzip, xz and plain, all but the last with annotations. */
static struct buffer make_annotated(void)
{
	static const struct {
		int (*filter)(struct archive *);
		const char *keys;
	} layers[] = {
		{archive_write_add_filter_gzip,
			",\"annotations\":{\"toc\":\"gzip\",\"a/b\":\"1\"},\"urls\":[]"},
		{archive_write_add_filter_xz, ",\"annotations\":{\"toc\":\"xz\"}"},
		{NULL, ",\"annotations\":{\"toc\":\"plain\"}"},
		{NULL, ""},
	};
	struct buffer bytes = {0};
	struct buffer tars[4];
	cleanup_buffer struct buffer list = {0};
	struct archive *archive = builder_new(&bytes, archive_write_set_format_ustar);
	for (size_t i = 0; i < 4; i++) {
		char name[2] = {(char)('0' + i), '\0'};
		tars[i] = make_layer(name);
		cleanup_buffer struct buffer blob = compress(&tars[i], layers[i].filter);
		cleanup_free char *layer =
			builder_blob(archive, blob.data, blob.len, TYPE_LAYER, layers[i].keys);
		buffer_printf(&list, "%s%s", i > 0 ? "," : "", layer);
	}
	cleanup_free char *layer_list = buffer_steal_text(&list);
	cleanup_free char *config_text = make_config("", tars, 4);
	cleanup_free char *config =
		builder_blob(archive, config_text, strlen(config_text), TYPE_CONFIG, "");
	cleanup_free char *manifest =
		xasprintf("{\"config\":%s,\"layers\":[%s],\"annotations\":{\"whose\":\"base\"}}",
			config, layer_list);
	cleanup_free char *entry =
		builder_blob(archive, manifest, strlen(manifest), TYPE_MANIFEST, "");
	cleanup_free char *top = xasprintf("{\"manifests\":[%s]}", entry);
	builder_text(archive, "index.json", top);
	builder_end(archive);
	for (size_t i = 0; i < 4; i++)
		buffer_free(&tars[i]);
	return bytes;
}

static struct buffer write_new(const struct buffer *base)
{
	static const char *const tags[] = {"a:b", NULL};
	const struct image_write_options options = {
		.tags = tags, .architecture = architecture_of_host(), .created = 1};
	struct memory_file out = memory_file_new("", 0);
	cleanup_image struct image *image = NULL;
	struct image_written written;
	struct error err;
	if (open_bytes(base, NULL, &image, &err) < 0 ||
		image_write(out.fd, image, &options, &written, &err) < 0)
		fail_msg("%s", err.message);
	struct buffer bytes = memory_file_bytes(out.fd);
	close(out.fd);
	return bytes;
}

static size_t count_of(const struct buffer *bytes, const char *part)
{
	size_t count = 0;
	const uint8_t *at = bytes->data;
	const uint8_t *end = bytes->data + bytes->len;
	while ((at = memmem(at, (size_t)(end - at), part, strlen(part))) != NULL) {
		count++;
		at++;
	}
	return count;
}

/*
 * Annotations stay with the blobs that they tell of, through a second build too, whose base is
 * read by manifest.json; what is written as a tar has none, nor has the manifest.
 */
static void test_annotations(void **state)
{
	(void)state;
	cleanup_buffer struct buffer base = make_annotated();
	cleanup_buffer struct buffer first = write_new(&base);
	cleanup_buffer struct buffer second = write_new(&first);
	const struct buffer *written[] = {&first, &second};
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(
			count_of(written[i], ",\"annotations\":{\"a/b\":\"1\",\"toc\":\"gzip\"}}"),
			1);
		assert_int_equal(count_of(written[i], "\"annotations\":{\"toc\":\"plain\"}"), 1);
		assert_int_equal(count_of(written[i], "\"toc\":\"xz\""), 0);
		assert_int_equal(count_of(written[i], "\"whose\""), 0);
		/* Two layers, and the entry of index.json. */
		assert_int_equal(count_of(written[i], "\"annotations\""), 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flat),
		cmocka_unit_test(test_flat_name),
		cmocka_unit_test(test_parent_folder),
		cmocka_unit_test(test_variant_is_said),
		cmocka_unit_test(test_platform_is_absent),
		cmocka_unit_test(test_annotations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
