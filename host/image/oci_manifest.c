#include "image/oci_manifest.h"

#include <errno.h>
#include <string.h>

#include "image/json_safe.h"
#include "image/oci_document.h"
#include "support/memory.h"

/* What a layout of another version may mean is not known: image-layout.md, "oci-layout file". */
static int check_layout(struct store *store, struct error *err)
{
	cleanup_json json_object *layout = NULL;
	cleanup_free char *what = xasprintf("%s: oci-layout", store->path);
	json_object *version = NULL;
	if (!store_has(store, "oci-layout"))
		return 0;
	int r = json_read_document(store, "oci-layout", json_type_object, what, &layout, err);
	if (r == 0)
		r = json_get(layout, "imageLayoutVersion", json_type_string, what, ERROR_INPUT,
			&version, err);
	if (r < 0 || version == NULL)
		return r;
	const char *text = json_object_get_string(version);
	if (strncmp(text, "1.", 2) == 0)
		return 0;
	return error_set(err, ERROR_INPUT, ENOTSUP,
		"%s: imageLayoutVersion: expected 1.0.0, found \"%s\"", what, text);
}

/* An index with one entry: manifest.json, which is an index or a manifest itself. */
static int read_flat_top(
	struct store *store, const char *what, json_object **out, struct error *err)
{
	struct extent extent;
	char text[DIGEST_TEXT_SIZE];
	cleanup_buffer struct buffer document = {0};
	int r = store_find(store, "manifest.json", &extent, err);
	if (r == 0)
		r = json_read_extent(store, &extent, what, &document, err);
	if (r < 0)
		return r;
	store->flat_top = digest_of(document.data, document.len);
	json_object *entry = json_object_new_object();
	json_object_object_add(
		entry, "digest", json_object_new_string(digest_text(&store->flat_top, text)));
	json_object_object_add(entry, "size", json_object_new_uint64(document.len));
	json_object *manifests = json_object_new_array();
	json_object_array_add(manifests, entry);
	*out = json_object_new_object();
	json_object_object_add(*out, "manifests", manifests);
	return 0;
}

int oci_read_top(struct store *store, const char *what, json_object **out, struct error *err)
{
	cleanup_json json_object *document = NULL;
	enum oci_kind kind = OCI_UNKNOWN;
	if (store->names == STORE_NAMES_FLAT)
		return read_flat_top(store, what, out, err);
	int r = check_layout(store, err);
	if (r == 0)
		r = json_read_document(store, "index.json", json_type_object, what, &document, err);
	if (r == 0)
		r = oci_document_kind(document, "", what, &kind, err);
	if (r == 0 && kind != OCI_INDEX)
		r = error_set(
			err, ERROR_INPUT, EINVAL, "%s: is a manifest, an index is wanted", what);
	if (r == 0)
		*out = steal_ptr(&document);
	return r;
}

char *oci_top_label(const struct store *store)
{
	return xasprintf("%s: %s", store->path,
		store->names == STORE_NAMES_FLAT ? "manifest.json" : "index.json");
}

char *oci_label(const struct store *store, const struct descriptor *descriptor)
{
	static const char *const names[] = {
		[OCI_UNKNOWN] = "document",
		[OCI_MANIFEST] = "manifest",
		[OCI_INDEX] = "index",
	};
	return xasprintf("%s: %s %s", store->path, names[oci_type_kind(descriptor->media_type)],
		descriptor->digest_text);
}

static int add_layer(struct store *store, json_object *object, const char *what, struct plan *plan,
	struct error *err)
{
	struct descriptor layer;
	int r = descriptor_read(object, what, &layer, err);
	if (r < 0)
		return r;
	if (strstr(layer.media_type, "+encrypted") != NULL)
		return error_set(err, ERROR_INPUT, ENOTSUP, "%s: layer %s is encrypted", what,
			layer.digest_text);
	r = descriptor_check_blob(store, &layer, what, err);
	if (r < 0)
		return r;
	cleanup_free char *name = descriptor_blob_name(store, &layer);
	r = plan_add_layer(plan, store, name, layer.digest_text, &layer.digest, err);
	if (r == 0)
		plan_annotate(&plan->layers[plan->layer_count - 1], layer.annotations);
	return r;
}

int oci_plan_manifest(struct store *store, json_object *manifest, const char *what,
	struct plan *plan, struct error *err)
{
	json_object *value;
	struct descriptor config = {.media_type = ""};
	int r = json_need(manifest, "config", json_type_object, what, &value, err);
	if (r == 0)
		r = descriptor_read(value, what, &config, err);
	if (r < 0)
		return r;
	if (!descriptor_is_config(&config))
		return error_set(err, ERROR_INPUT, EMEDIUMTYPE,
			"%s: is no container image but an artifact of type %s", what,
			config.media_type);
	r = descriptor_check_blob(store, &config, what, err);
	if (r < 0)
		return r;
	cleanup_free char *name = descriptor_blob_name(store, &config);
	r = plan_set_config(plan, store, name, &config.digest, err);
	if (r == 0)
		r = json_get(manifest, "layers", json_type_array, what, ERROR_INPUT, &value, err);
	if (r < 0 || value == NULL)
		return r;
	for (size_t i = 0; r == 0 && i < json_object_array_length(value); i++)
		r = add_layer(store, json_object_array_get_idx(value, i), what, plan, err);
	return r;
}
