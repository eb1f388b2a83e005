#include "image/oci_manifest.h"

#include <errno.h>
#include <string.h>

#include "image/json_safe.h"
#include "support/memory.h"

int oci_read_top(struct store *store, const char *what, json_object **out, struct error *err)
{
	return json_read_document(store, "index.json", json_type_object, what, out, err);
}

char *oci_label(const struct store *store, const struct descriptor *descriptor)
{
	return xasprintf("%s: %s %s", store->path,
		descriptor_is_index(descriptor) ? "index" : "manifest", descriptor->digest_text);
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
	cleanup_free char *name = descriptor_blob_name(&layer);
	return plan_add_layer(plan, store, name, layer.digest_text, &layer.digest, err);
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
	cleanup_free char *name = descriptor_blob_name(&config);
	r = plan_set_config(plan, store, name, &config.digest, err);
	if (r == 0)
		r = json_get(manifest, "layers", json_type_array, what, ERROR_INPUT, &value, err);
	if (r < 0 || value == NULL)
		return r;
	for (size_t i = 0; r == 0 && i < json_object_array_length(value); i++)
		r = add_layer(store, json_object_array_get_idx(value, i), what, plan, err);
	return r;
}
