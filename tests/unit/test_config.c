/* image_make_config and image_env: what a new image inherits, and what it does not. */
#include "image_builder.h"

#include "image/env.h"
#include "image/json_safe.h"

/* An image whose layers have the diff IDs 0...0, 1...1 and so on. */
static struct image *base_with(const char *config, size_t layers)
{
	struct image *image = image_scratch();
	json_object_put(image->config);
	image->config = NULL;
	struct error err;
	assert_int_equal(json_parse(config, strlen(config), "base", &image->config, &err), 0);
	image->layers = xcalloc(layers, sizeof(*image->layers));
	image->layer_count = layers;
	for (size_t i = 0; i < layers; i++) {
		memset(image->layers[i].diff_id.bytes, (int)(i * 0x11), 32);
		image->layers[i].blob_fd = -1;
		image->layers[i].tar_fd = -1;
	}
	return image;
}

#define ID0 "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\""
#define ID1 "\"sha256:1111111111111111111111111111111111111111111111111111111111111111\""
#define IDF "\"sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\""
#define T "\"1970-01-01T00:00:01Z\""
#define NEW_ENTRY "{\"created\":" T ",\"created_by\":\"run\"}"
#define MADE_UP(why) "{\"comment\":\"" why "\",\"created\":" T "}"
#define ROOTFS(ids) "\"rootfs\":{\"diff_ids\":[" ids "],\"type\":\"layers\"}"

/* The whole document around a config, for a base without layers. */
#define ONE_LAYER(config)                                                                          \
	"{\"architecture\":\"amd64\",\"config\":" config ",\"created\":" T                         \
	",\"history\":[" NEW_ENTRY "],\"os\":\"linux\"," ROOTFS(IDF) "}"

struct merge_case {
	const char *base;
	size_t layers;
	bool from_rootfs;
	bool new_layer;
	const char *spec; /* NULL: none */
	const char *expected;
};

static const struct merge_case merge_cases[] = {
	/* From scratch. */
	{"{}", 0, false, true, NULL, ONE_LAYER("{}")},
	{"{}", 0, false, false, NULL,
		"{\"architecture\":\"amd64\",\"config\":{},\"created\":" T ",\"history\":["
		"{\"created\":" T ",\"created_by\":\"layervm build\",\"empty_layer\":true}],"
		"\"os\":\"linux\"," ROOTFS("") "}"},
	{"{}", 0, false, true, "{\"Cmd\":[\"/a/b\"],\"Env\":null,\"User\":\"u\"}",
		ONE_LAYER("{\"Cmd\":[\"/a/b\"],\"User\":\"u\"}")},
	/* Env by key in the base's order; the last of a key counts; '=' may be missing. */
	{"{\"config\":{\"Env\":[\"A=1\",\"B=2\",\"A=3\",\"C\"]}}", 0, false, true,
		"{\"Env\":[\"D=\",\"B=x=y\",\"C=4\",\"D=5\",\"AA=6\"]}",
		ONE_LAYER("{\"Env\":[\"A=3\",\"B=x=y\",\"C=4\",\"D=5\",\"AA=6\"]}")},
	/* Labels, Volumes and ExposedPorts are united, other keys replaced whole. */
	{"{\"config\":{\"Labels\":{\"a\":\"1\",\"b\":\"2\"},\"Volumes\":{\"/v\":{}},"
	 "\"User\":\"u\",\"WorkingDir\":\"/w\"}}",
		0, false, true,
		"{\"Labels\":{\"b\":\"3\",\"c\":\"4\"},\"Volumes\":{\"/x\":{}},"
		"\"WorkingDir\":\"\"}",
		ONE_LAYER("{\"Labels\":{\"a\":\"1\",\"b\":\"3\",\"c\":\"4\"},\"User\":\"u\","
			  "\"Volumes\":{\"/v\":{},\"/x\":{}},\"WorkingDir\":\"\"}")},
	{"{\"config\":{\"ExposedPorts\":{\"80/tcp\":{},\"1\":{\"a\":1}},\"Volumes\":{\"/v\":{}}}}",
		0, false, true, "{\"ExposedPorts\":{\"443/tcp\":{},\"1\":{}},\"Volumes\":{}}",
		ONE_LAYER("{\"ExposedPorts\":{\"1\":{},\"443/tcp\":{},\"80/tcp\":{}},"
			  "\"Volumes\":{\"/v\":{}}}")},
	{"{\"config\":{\"ExposedPorts\":null,\"Volumes\":null}}", 0, false, true,
		"{\"ExposedPorts\":{\"1\":{}},\"Volumes\":null}",
		ONE_LAYER("{\"ExposedPorts\":{\"1\":{}},\"Volumes\":null}")},
	/* The keys that the spec has take the place of the base's as a whole. */
	{"{\"config\":{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"],\"Retries\":3},\"Shell\":[\"b\"],"
	 "\"StopSignal\":\"INT\",\"ArgsEscaped\":true,\"Memory\":1,\"CpuShares\":2}}",
		0, false, true,
		"{\"Healthcheck\":{\"Test\":[\"NONE\"]},\"Memory\":5,\"OnBuild\":[\"RUN y\"]}",
		ONE_LAYER("{\"ArgsEscaped\":true,\"CpuShares\":2,\"Healthcheck\":{\"Test\":["
			  "\"NONE\"]},"
			  "\"Memory\":5,\"OnBuild\":[\"RUN y\"],\"Shell\":[\"b\"],"
			  "\"StopSignal\":\"INT\"}")},
	{"{\"config\":{\"Labels\":null,\"Env\":null}}", 0, false, true,
		"{\"Labels\":{\"b\":\"3\"},\"Env\":[\"A=1\"]}",
		ONE_LAYER("{\"Env\":[\"A=1\"],\"Labels\":{\"b\":\"3\"}}")},
	/* A new entry point drops the base's command, even an empty one. */
	{"{\"config\":{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]}}", 0, false, true,
		"{\"Entrypoint\":[\"n\"]}", ONE_LAYER("{\"Entrypoint\":[\"n\"]}")},
	{"{\"config\":{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]}}", 0, false, true,
		"{\"Entrypoint\":[]}", ONE_LAYER("{\"Entrypoint\":[]}")},
	{"{\"config\":{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]}}", 0, false, true,
		"{\"Cmd\":[\"d\"],\"Entrypoint\":[\"n\"]}",
		ONE_LAYER("{\"Cmd\":[\"d\"],\"Entrypoint\":[\"n\"]}")},
	{"{\"config\":{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]}}", 0, false, true,
		"{\"Cmd\":[\"d\"]}", ONE_LAYER("{\"Cmd\":[\"d\"],\"Entrypoint\":[\"e\"]}")},
	{"{\"config\":{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]}}", 0, false, true, "{}",
		ONE_LAYER("{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]}")},
	/* What FROM does not pass on; unknown keys stay, in order and with their '/'. */
	{"{\"config\":{\"Image\":\"sha256:1\",\"OnBuild\":[\"RUN x\"],\"Zz\":{\"b\":1,\"a\":[{"
	 "\"d\":null,\"c\":1.50}]}}}",
		0, false, true, NULL,
		ONE_LAYER("{\"Zz\":{\"a\":[{\"c\":1.50,\"d\":null}],\"b\":1}}")},
	{"{\"zz\":\"a/b\",\"container\":\"c\",\"container_config\":{},\"docker_version\":\"1\","
	 "\"author\":\"me\",\"created\":\"2019-01-01T00:00:00Z\",\"architecture\":\"arm\","
	 "\"variant\":\"v7\",\"os\":\"linux\",\"rootfs\":{},\"id\":\"1\",\"parent\":\"2\"}",
		0, false, true, NULL,
		"{\"architecture\":\"amd64\",\"author\":\"me\",\"config\":{},\"created\":" T
		",\"history\":[" NEW_ENTRY "],\"os\":\"linux\"," ROOTFS(IDF) ",\"zz\":\"a/b\"}"},
	{"{\"architecture\":\"amd64\",\"variant\":\"v2\"}", 0, false, true, NULL,
		"{\"architecture\":\"amd64\",\"config\":{},\"created\":" T
		",\"history\":[" NEW_ENTRY
		"],\"os\":\"linux\"," ROOTFS(IDF) ",\"variant\":\"v2\"}"},
	/* History is kept and extended; what does not fit the layers is brought into line. */
	{"{\"history\":[{\"created_by\":\"b\",\"x\":1},{\"empty_layer\":true}]}", 1, false, true,
		NULL,
		"{\"architecture\":\"amd64\",\"config\":{},\"created\":" T ",\"history\":["
		"{\"created_by\":\"b\",\"x\":1},{\"empty_layer\":true}," NEW_ENTRY
		"],\"os\":\"linux\"," ROOTFS(ID0 "," IDF) "}"},
	{"{\"history\":[{\"comment\":\"1\"},{\"comment\":\"2\",\"empty_layer\":false},"
	 "{\"comment\":\"3\"}]}",
		1, false, true, NULL,
		"{\"architecture\":\"amd64\",\"config\":{},\"created\":" T ",\"history\":["
		"{\"comment\":\"1\"},{\"comment\":\"2\",\"empty_layer\":true},"
		"{\"comment\":\"3\",\"empty_layer\":true}," NEW_ENTRY
		"],\"os\":\"linux\"," ROOTFS(ID0 "," IDF) "}"},
	{"{\"history\":[{\"comment\":\"1\"}]}", 2, false, true, NULL,
		"{\"architecture\":\"amd64\",\"config\":{},\"created\":" T ",\"history\":["
		"{\"comment\":\"1\"}," MADE_UP(
			"history missing in the base image") "," NEW_ENTRY
							     "],\"os\":\"linux\"," ROOTFS(
								     ID0 "," ID1 "," IDF) "}"},
	{"{\"history\":null}", 1, true, true, NULL,
		"{\"architecture\":\"amd64\",\"config\":{},\"created\":" T ",\"history\":[" MADE_UP(
			"imported from a root file system tar") "," NEW_ENTRY
								"],\"os\":\"linux\"," ROOTFS(
									ID0 "," IDF) "}"},
};

/* Objects with their keys the other way round, so that order in the input shows if it matters. */
static json_object *reversed(json_object *value)
{
	if (json_object_is_type(value, json_type_array)) {
		json_object *copy = json_object_new_array();
		for (size_t i = 0; i < json_object_array_length(value); i++)
			json_object_array_add(copy, reversed(json_object_array_get_idx(value, i)));
		return copy;
	}
	if (!json_object_is_type(value, json_type_object))
		return json_object_get(value);
	json_object *copy = json_object_new_object();
	const char *keys[64];
	size_t count = 0;
	json_object_object_foreach(value, key, unused)
	{
		(void)unused;
		assert_true(count < 64);
		keys[count++] = key;
	}
	while (count > 0) {
		count--;
		json_object_object_add(
			copy, keys[count], reversed(json_object_object_get(value, keys[count])));
	}
	return copy;
}

static struct image_write_options options_for(
	const struct merge_case *merge, struct image_new_layer *layer)
{
	static const char *const tags[] = {"a:b", NULL};
	memset(layer, 0, sizeof(*layer));
	memset(layer->diff_id.bytes, 0xff, 32);
	layer->created_by = "run";
	layer->fd = -1;
	return (struct image_write_options){
		.tags = tags,
		.architecture = "amd64",
		.created = 1,
		.config = merge->spec != NULL ? json_tokener_parse(merge->spec) : NULL,
		.layer = merge->new_layer ? layer : NULL,
	};
}

static void test_merge(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(merge_cases) / sizeof(merge_cases[0]); i++) {
		const struct merge_case *merge = &merge_cases[i];
		cleanup_image struct image *base = base_with(merge->base, merge->layers);
		base->from_rootfs = merge->from_rootfs;
		struct image_new_layer layer;
		struct image_write_options options = options_for(merge, &layer);
		for (unsigned round = 0; round < 2; round++) {
			cleanup_json json_object *config = NULL;
			cleanup_buffer struct buffer text = {0};
			struct error err;
			if (image_make_config(base, &options, &config, &err) < 0)
				fail_msg("case %zu: %s", i, err.message);
			json_put_text(config, &text);
			buffer_add(&text, "", 1);
			assert_string_equal((char *)text.data, merge->expected);
			json_object *other = reversed(base->config);
			json_object_put(base->config);
			base->config = other;
			other = reversed(options.config);
			json_object_put(options.config);
			options.config = other;
		}
		json_object_put(options.config);
	}
}

static void test_errors(void **state)
{
	(void)state;
	cleanup_buffer struct buffer deep = {0};
	buffer_add_text(&deep, "{\"a\":");
	for (unsigned i = 0; i < 100; i++)
		buffer_add_text(&deep, "[");
	for (unsigned i = 0; i < 100; i++)
		buffer_add_text(&deep, "]");
	buffer_add_text(&deep, "}");
	cleanup_free char *deep_text = buffer_steal_text(&deep);
	const struct {
		const char *spec;
		int64_t created;
		const char *words;
	} cases[] = {
		{"[]", 0, "config: config: expected an object, found an array"},
		{"{\"Env\":7}", 0, "config: Env: expected an array, found a number"},
		{"{\"Env\":[null]}", 0, "config: Env: expected a string, found null"},
		{"{\"Volumes\":[\"/v\"]}", 0,
			"config: Volumes: expected an object, found an array"},
		{"{\"OnBuild\":[7]}", 0, "config: OnBuild: expected a string, found a number"},
		{"{\"Labels\":[]}", 0, "config: Labels: expected an object, found an array"},
		{"{}", INT64_MAX, "are outside of the years 0 to 9999"},
		{"{}", 253402300800, "are outside of the years 0 to 9999"},
		{"{}", -62167219201, "are outside of the years 0 to 9999"},
		{deep_text, 0, "nested deeper than the limit of 64"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_image struct image *base = image_scratch();
		struct json_tokener *tokener = json_tokener_new_ex(200);
		cleanup_json json_object *spec =
			json_tokener_parse_ex(tokener, cases[i].spec, (int)strlen(cases[i].spec));
		json_tokener_free(tokener);
		struct image_write_options options = {
			.architecture = "amd64", .created = cases[i].created, .config = spec};
		json_object *config = NULL;
		struct error err;
		int r = image_make_config(base, &options, &config, &err);
		assert_error(&err, r, ERROR_SPEC, cases[i].words);
		assert_null(config);
	}
}

static void test_triggers(void **state)
{
	(void)state;
	cleanup_buffer struct buffer many = {0};
	cleanup_buffer struct buffer cut = {0};
	buffer_add_text(&many, "{\"config\":{\"OnBuild\":[\"R\"");
	buffer_add_text(&cut, "R");
	for (unsigned i = 0; i < 200; i++)
		buffer_add_text(&many, ",\"\u00e4\"");
	buffer_add_text(&many, "]}}");
	for (unsigned i = 0; i < 74; i++)
		buffer_add_text(&cut, "; \u00e4");
	buffer_add_text(&cut, "; ...");
	cleanup_free char *many_text = buffer_steal_text(&many);
	cleanup_free char *cut_text = buffer_steal_text(&cut);
	const struct {
		const char *base;
		const char *triggers; /* NULL: none */
	} cases[] = {
		{"{}", NULL},
		{"{\"config\":null}", NULL},
		{"{\"config\":{\"OnBuild\":null}}", NULL},
		{"{\"config\":{\"OnBuild\":[]}}", NULL},
		{"{\"config\":{\"OnBuild\":[\"RUN x\",\"COPY . /y\"]}}", "RUN x; COPY . /y"},
		{many_text, cut_text},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_image struct image *base = base_with(cases[i].base, 0);
		cleanup_free char *triggers = image_triggers(base);
		if (cases[i].triggers == NULL)
			assert_null(triggers);
		else
			assert_string_equal(triggers, cases[i].triggers);
	}
}

static void test_created(void **state)
{
	(void)state;
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00Z"},
		{951782399, "2000-02-28T23:59:59Z"},
		{951782400, "2000-02-29T00:00:00Z"},
		{4294967296, "2106-02-07T06:28:16Z"},
		{253402300799, "9999-12-31T23:59:59Z"},
		{-1, "1969-12-31T23:59:59Z"},
		{-62135596800, "0001-01-01T00:00:00Z"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_image struct image *base = image_scratch();
		struct image_write_options options = {
			.architecture = "amd64", .created = cases[i].seconds};
		cleanup_json json_object *config = NULL;
		struct error err;
		assert_int_equal(image_make_config(base, &options, &config, &err), 0);
		assert_string_equal(
			json_object_get_string(json_object_object_get(config, "created")),
			cases[i].text);
	}
}

/* The environment is the merged Env without names alone. */
static void test_env(void **state)
{
	(void)state;
	cleanup_image struct image *base =
		base_with("{\"config\":{\"Env\":[\"A=1\",\"B=2\",\"N\",\"=x\"]}}", 0);
	cleanup_json json_object *spec = json_tokener_parse("{\"Env\":[\"C=3\",\"A=\"]}");
	static const char *const expected[] = {"A=", "B=2", "=x", "C=3", NULL};
	char **env = image_env(base, spec);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(env[i], expected[i]);
	assert_null(env[4]);
	image_env_free(env);
	cleanup_image struct image *scratch = image_scratch();
	env = image_env(scratch, NULL);
	assert_null(env[0]);
	image_env_free(env);
	image_env_free(NULL);
}

/* As many variables as a document of the greatest size can hold are merged in passing. */
static void test_env_many(void **state)
{
	(void)state;
	const size_t count = 500000;
	cleanup_json json_object *base = json_object_new_array();
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *text = xasprintf("%zx=", i);
		json_object_array_add(base, json_object_new_string(text));
	}
	cleanup_json json_object *merged = env_merge(base, base);
	assert_int_equal(json_object_array_length(merged), count);
}

/* A random list of variables with short names, so that many come twice. */
static json_object *random_env(unsigned *seed, char last[static 26][8], bool found[static 26])
{
	json_object *env = json_object_new_array();
	for (int n = rand_r(seed) % 40; n > 0; n--) {
		unsigned key = (unsigned)rand_r(seed) % 26;
		snprintf(last[key], 8, "%c=%d", 'a' + (int)key, rand_r(seed) % 1000);
		found[key] = true;
		json_object_array_add(env, json_object_new_string(last[key]));
	}
	return env;
}

/* Each variable once, with the last value that either list gives it. */
static void test_env_random(void **state)
{
	(void)state;
	unsigned seed = test_seed();
	for (unsigned round = 0; round < 200; round++) {
		char last[26][8] = {{0}};
		bool found[26] = {false};
		cleanup_image struct image *base = base_with("{\"config\":{}}", 0);
		json_object_object_add(json_object_object_get(base->config, "config"), "Env",
			random_env(&seed, last, found));
		cleanup_json json_object *spec = json_object_new_object();
		json_object_object_add(spec, "Env", random_env(&seed, last, found));
		char **env = image_env(base, spec);
		for (size_t i = 0; env[i] != NULL; i++) {
			size_t key = (size_t)(env[i][0] - 'a');
			assert_true(found[key]);
			assert_string_equal(env[i], last[key]);
			found[key] = false;
		}
		for (size_t key = 0; key < 26; key++)
			assert_false(found[key]);
		image_env_free(env);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_triggers),
		cmocka_unit_test(test_created),
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_env_many),
		cmocka_unit_test(test_env_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
