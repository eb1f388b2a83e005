/* Docker archives: manifest.json, as docker save has written it since Docker 1.10. */
#include <errno.h>
#include <string.h>

#include "image/choice.h"
#include "image/json_safe.h"
#include "image/manifests.h"
#include "image/oci_annotate.h"
#include "support/memory.h"

static int read_manifest(
	struct store *store, const char *what, json_object **out, struct error *err)
{
	cleanup_json json_object *manifest = NULL;
	int r = json_read_document(store, "manifest.json", json_type_array, what, &manifest, err);
	if (r == 0)
		r = choice_check(manifest, what, err);
	if (r == 0)
		*out = steal_ptr(&manifest);
	return r;
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

static int plan_image(struct store *store, json_object *image, const char *what, struct plan *plan,
	struct error *err)
{
	json_object *value;
	struct digest digest;
	int r = json_need(image, "Config", json_type_string, what, &value, err);
	if (r < 0)
		return r;
	const char *config = json_object_get_string(value);
	r = plan_check_path(config, what, "Config", err);
	if (r < 0)
		return r;
	bool named = digest_in_name(config, true, &digest);
	r = plan_set_config(plan, store, config, named ? &digest : NULL, err);
	if (r < 0)
		return r;
	r = json_get(image, "Layers", json_type_array, what, ERROR_INPUT, &value, err);
	if (r < 0 || value == NULL)
		return r;
	for (size_t i = 0; r == 0 && i < json_object_array_length(value); i++) {
		json_object *layer = json_object_array_get_idx(value, i);
		r = json_expect_text(layer, what, "Layers", ERROR_INPUT, err);
		const char *name = json_object_get_string(layer);
		if (r == 0)
			r = plan_check_path(name, what, "Layers", err);
		if (r < 0)
			return r;
		named = digest_in_name(name, false, &digest);
		r = plan_add_layer(plan, store, name, name, named ? &digest : NULL, err);
	}
	return r;
}

int docker_plan(struct store *store, const struct image_options *options, struct plan *plan,
	struct error *err)
{
	cleanup_json json_object *manifest = NULL;
	json_object *image = NULL;
	const char *name = NULL;
	cleanup_free char *what = xasprintf("%s: manifest.json", store->path);
	int r = read_manifest(store, what, &manifest, err);
	if (r == 0)
		r = choice_make(manifest, store->path, options, &image, &name, err);
	if (r < 0)
		return r;
	if (name != NULL)
		plan->name = xstrdup(name);
	r = plan_image(store, image, what, plan, err);
	if (r == 0)
		oci_annotate(store, plan);
	return r;
}

/* An image's summary; two images of one config are one. */
static int list_image(struct store *store, json_object *image, const char *what,
	struct image_list *list, struct error *err)
{
	cleanup_plan struct plan plan = {0};
	char digest[DIGEST_TEXT_SIZE];
	int r = plan_image(store, image, what, &plan, err);
	if (r < 0)
		return r;
	digest_text(&plan.digest, digest);
	struct image_summary *summary = summary_find(list, digest);
	if (summary == NULL)
		r = summary_add(list, store->path, digest, &summary, err);
	if (r < 0)
		return r;
	summary_set_plan(summary, &plan);
	return choice_add_names(image, list, summary, store->path, err);
}

int docker_list(struct store *store, struct image_list *list, struct error *err)
{
	cleanup_json json_object *manifest = NULL;
	cleanup_free char *what = xasprintf("%s: manifest.json", store->path);
	int r = read_manifest(store, what, &manifest, err);
	for (size_t i = 0; r == 0 && i < json_object_array_length(manifest); i++)
		r = list_image(store, json_object_array_get_idx(manifest, i), what, list, err);
	return r;
}
