#include "image/oci_annotate.h"

#include <stdbool.h>

#include "image/json_safe.h"
#include "image/oci_document.h"
#include "image/oci_manifest.h"
#include "support/memory.h"

struct walk {
	struct store *store;
	struct plan *plan;
	json_object *seen; /* the digests of the documents that were read, as keys */
	bool is_done;
};

/* Whether the manifest is of the plan's config. */
static bool is_same_image(const struct walk *walk, json_object *manifest)
{
	json_object *value = NULL;
	struct descriptor config;
	struct error ignored;
	json_object_object_get_ex(manifest, "config", &value);
	return descriptor_read(value, "config", &config, &ignored) == 0 &&
	       digest_equal(&config.digest, &walk->plan->digest);
}

static void take(struct walk *walk, json_object *manifest)
{
	json_object *layers = NULL;
	struct error ignored;
	struct plan *plan = walk->plan;
	if (!is_same_image(walk, manifest) ||
		json_get(manifest, "layers", json_type_array, "manifest", ERROR_INPUT, &layers,
			&ignored) < 0 ||
		layers == NULL)
		return;
	walk->is_done = true;
	for (size_t i = 0; i < plan->layer_count && i < json_object_array_length(layers); i++) {
		struct descriptor layer;
		struct plan_layer *to = &plan->layers[i];
		int r = descriptor_read(
			json_object_array_get_idx(layers, i), "layer", &layer, &ignored);
		if (r == 0 && to->has_digest && digest_equal(&to->digest, &layer.digest))
			plan_annotate(to, layer.annotations);
	}
}

static void walk_index(struct walk *walk, json_object *index, unsigned depth);

static void walk_entry(struct walk *walk, const struct descriptor *entry, unsigned depth)
{
	cleanup_json json_object *document = NULL;
	enum oci_kind kind = OCI_UNKNOWN;
	struct error ignored;
	if (!descriptor_is_image(entry) ||
		json_object_object_get_ex(walk->seen, entry->digest_text, NULL))
		return;
	json_object_object_add(walk->seen, entry->digest_text, NULL);
	int r = descriptor_read_document(walk->store, entry, "entry", &document, &ignored);
	if (r == 0)
		r = oci_document_kind(document, entry->media_type, "entry", &kind, &ignored);
	if (r < 0)
		return;
	if (kind == OCI_MANIFEST)
		take(walk, document);
	else if (depth < OCI_NESTING_MAX)
		walk_index(walk, document, depth + 1);
}

static void walk_index(struct walk *walk, json_object *index, unsigned depth)
{
	cleanup_free struct descriptor *entries = NULL;
	size_t count = 0;
	struct error ignored;
	if (descriptor_read_all(index, "index", &entries, &count, &ignored) < 0)
		return;
	for (size_t i = 0; i < count && !walk->is_done; i++)
		walk_entry(walk, &entries[i], depth);
}

void oci_annotate(struct store *store, struct plan *plan)
{
	cleanup_json json_object *index = NULL;
	cleanup_json json_object *seen = json_object_new_object();
	struct walk walk = {.store = store, .plan = plan, .seen = seen};
	struct error ignored;
	uint64_t bytes = store->document_bytes;
	if (store_has(store, "index.json") && oci_read_top(store, "index", &index, &ignored) == 0)
		walk_index(&walk, index, 0);
	/* What is passed over takes nothing from what the image may have. */
	store->document_bytes = bytes;
}
