/* Docker archives: manifest.json, as docker save has written it since Docker 1.10. */
#include <errno.h>
#include <string.h>

#include "image/json_safe.h"
#include "image/plan.h"
#include "support/memory.h"

/* The bytes of names that an error lists before it breaks off. */
#define LIST_MAX 600u

static int read_manifest(const struct archive_index *index, json_object **out, struct error *err)
{
	const struct member *member;
	cleanup_buffer struct buffer text = {0};
	cleanup_free char *what = xasprintf("%s: manifest.json", index->path);
	int r = index_resolve(index, "manifest.json", &member, err);
	if (r < 0)
		return r;
	r = json_read_member(index, member, what, &text, err);
	if (r < 0)
		return r;
	cleanup_json json_object *manifest = NULL;
	r = json_parse(text.data, text.len, what, &manifest, err);
	if (r < 0)
		return r;
	r = json_expect(manifest, json_type_array, what, "document", ERROR_INPUT, err);
	if (r < 0)
		return r;
	size_t count = json_object_array_length(manifest);
	if (count == 0)
		return error_set(err, ERROR_INPUT, EINVAL, "%s: lists no image", what);
	for (size_t i = 0; i < count; i++) {
		json_object *image = json_object_array_get_idx(manifest, i);
		json_object *tags;
		r = json_expect(image, json_type_object, what, "image", ERROR_INPUT, err);
		if (r == 0)
			r = json_get(
				image, "RepoTags", json_type_array, what, ERROR_INPUT, &tags, err);
		for (size_t t = 0; r == 0 && tags != NULL && t < json_object_array_length(tags);
			t++)
			r = json_expect_text(json_object_array_get_idx(tags, t), what, "RepoTags",
				ERROR_INPUT, err);
		if (r < 0)
			return r;
	}
	*out = steal_ptr(&manifest);
	return 0;
}

/* The n-th name of an image, or NULL. */
static const char *tag_at(json_object *image, size_t n)
{
	json_object *tags = NULL;
	json_object_object_get_ex(image, "RepoTags", &tags);
	if (tags == NULL || n >= json_object_array_length(tags))
		return NULL;
	return json_object_get_string(json_object_array_get_idx(tags, n));
}

static int no_such_name(const struct archive_index *index, json_object *manifest,
	const char *wanted, struct error *err)
{
	cleanup_buffer struct buffer names = {0};
	for (size_t i = 0; i < json_object_array_length(manifest); i++) {
		json_object *image = json_object_array_get_idx(manifest, i);
		const char *tag = tag_at(image, 0);
		if (tag == NULL)
			buffer_add_text(&names, ", one without a name");
		for (size_t t = 0; tag != NULL && names.len < LIST_MAX; t++) {
			buffer_printf(&names, ", %s", tag);
			tag = tag_at(image, t + 1);
		}
		if (names.len >= LIST_MAX) {
			buffer_add_text(&names, ", ...");
			break;
		}
	}
	cleanup_free char *list = buffer_steal_text(&names);
	return error_set(err, ERROR_INPUT, ENOENT, "%s: has no image %s; there are: %s",
		index->path, wanted, list + 2);
}

/* Takes the image with the best fitting name, and that name. */
static int choose(const struct archive_index *index, json_object *manifest,
	const struct image_options *options, json_object **out, const char **name,
	struct error *err)
{
	size_t count = json_object_array_length(manifest);
	cleanup_free char *wanted = plan_wanted_name(options);
	*out = NULL;
	if (wanted == NULL) {
		*out = json_object_array_get_idx(manifest, 0);
		*name = tag_at(*out, 0);
		if (count > 1 && options->report != NULL)
			report_note(options->report, "%s: has %zu images; takes the first, %s",
				index->path, count, *name != NULL ? *name : "which has no name");
		return 0;
	}
	unsigned best = 0;
	for (size_t i = 0; i < count; i++) {
		json_object *image = json_object_array_get_idx(manifest, i);
		const char *tag;
		for (size_t t = 0; (tag = tag_at(image, t)) != NULL; t++) {
			unsigned fit = plan_name_fit(tag, wanted);
			if (fit > best) {
				best = fit;
				*out = image;
				*name = tag;
			}
		}
	}
	return *out != NULL ? 0 : no_such_name(index, manifest, wanted, err);
}

/*
 * The digest that a member's name promises: "blobs/sha256/<hex>", and for a config also
 * "sha256:<hex>" and "<hex>.json". Returns whether it promises one.
 */
static bool digest_in_name(const char *name, bool is_config, struct digest *digest)
{
	static const char blobs[] = "blobs/sha256/";
	const char *slash = strrchr(name, '/');
	const char *base = slash != NULL ? slash + 1 : name;
	size_t folder = (size_t)(base - name);
	bool is_blob = folder >= sizeof(blobs) - 1 &&
		       memcmp(base - (sizeof(blobs) - 1), blobs, sizeof(blobs) - 1) == 0;
	if (!is_blob && !is_config)
		return false;
	size_t len = strlen(base);
	if (is_config && len > 5 && strcmp(base + len - 5, ".json") == 0)
		len -= 5;
	bool prefixed = strncmp(base, "sha256:", 7) == 0;
	cleanup_free char *text = xasprintf("%s%.*s", prefixed ? "" : "sha256:", (int)len, base);
	return digest_parse(digest, text);
}

int plan_docker(const struct archive_index *index, const struct image_options *options,
	struct plan *plan, struct error *err)
{
	cleanup_json json_object *manifest = NULL;
	json_object *image;
	json_object *value;
	const char *name = NULL;
	const struct member *member;
	struct digest digest;
	cleanup_free char *what = xasprintf("%s: manifest.json", index->path);
	int r = read_manifest(index, &manifest, err);
	if (r < 0)
		return r;
	r = choose(index, manifest, options, &image, &name, err);
	if (r < 0)
		return r;
	if (name != NULL)
		plan->name = xstrdup(name);

	r = json_need(image, "Config", json_type_string, what, &value, err);
	if (r < 0)
		return r;
	const char *config = json_object_get_string(value);
	r = index_resolve(index, config, &member, err);
	if (r < 0)
		return r;
	bool named = digest_in_name(config, true, &digest);
	r = plan_set_config(plan, index, member, named ? &digest : NULL, err);
	if (r < 0)
		return r;

	r = json_get(image, "Layers", json_type_array, what, ERROR_INPUT, &value, err);
	if (r < 0 || value == NULL)
		return r;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		json_object *layer = json_object_array_get_idx(value, i);
		r = json_expect_text(layer, what, "Layers", ERROR_INPUT, err);
		if (r < 0)
			return r;
		const char *label = json_object_get_string(layer);
		r = index_resolve(index, label, &member, err);
		if (r < 0)
			return r;
		named = digest_in_name(label, false, &digest);
		r = plan_add_layer(plan, index, label, member, named ? &digest : NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}
