/* All images of an OCI image layout, nested indexes laid flat. */
#include <errno.h>
#include <stdbool.h>

#include "image/json_safe.h"
#include "image/manifests.h"
#include "image/oci_manifest.h"
#include "support/memory.h"

/* An index that is being walked. */
struct level {
	json_object *document;
	struct descriptor *descriptors;
	size_t count, next;
};

struct walk {
	struct store *store;
	struct image_list *list;
	struct level levels[OCI_NESTING_MAX + 1];
	size_t depth;
	struct digest top; /* of the entry of index.json that all this is beneath */
	json_object *seen; /* the digests of the indexes that were walked, as keys */
};

static void walk_free(struct walk *walk)
{
	for (size_t i = 0; i < walk->depth; i++) {
		free(walk->levels[i].descriptors);
		json_object_put(walk->levels[i].document);
	}
	json_object_put(walk->seen);
}

/* Goes down into an index. Takes the document over. */
static int enter(struct walk *walk, json_object *document, const char *what, struct error *err)
{
	struct level *level = &walk->levels[walk->depth++];
	*level = (struct level){.document = document};
	int r = descriptor_read_all(document, what, &level->descriptors, &level->count, err);
	if (r == 0 && level->count > SUMMARIES_MAX)
		r = error_set(err, ERROR_LIMIT, E2BIG, "%s: has more entries than the limit of %u",
			what, SUMMARIES_MAX);
	return r;
}

static void leave(struct walk *walk)
{
	struct level *level = &walk->levels[--walk->depth];
	free(level->descriptors);
	json_object_put(level->document);
}

static void set_platform(struct image_summary *summary, const struct descriptor *descriptor)
{
	if (descriptor->os != NULL && summary->os == NULL)
		summary->os = xstrdup(descriptor->os);
	if (descriptor->architecture != NULL && summary->architecture == NULL)
		summary->architecture = xstrdup(descriptor->architecture);
	if (descriptor->variant != NULL && summary->variant == NULL)
		summary->variant = xstrdup(descriptor->variant);
}

/* An index in an index. One that was there before is not walked again: it may hold any number. */
static int add_index(struct walk *walk, const struct descriptor *descriptor, struct error *err)
{
	cleanup_free char *what = oci_label(walk->store, descriptor);
	json_object *document = NULL;
	if (walk->depth == OCI_NESTING_MAX + 1)
		return error_set(err, ERROR_INPUT, ELOOP,
			"%s: indexes are nested deeper than the limit of %u", what,
			OCI_NESTING_MAX);
	if (json_object_object_get_ex(walk->seen, descriptor->digest_text, NULL))
		return 0;
	json_object_object_add(walk->seen, descriptor->digest_text, NULL);
	int r = descriptor_read_document(walk->store, descriptor, what, &document, err);
	return r < 0 ? r : enter(walk, document, what, err);
}

/* Adds the names that index.json has for what all this is beneath: an entry for each name. */
static int add_names(struct walk *walk, struct image_summary *summary, struct error *err)
{
	const struct level *top = &walk->levels[0];
	int r = 0;
	for (size_t i = 0; r == 0 && i < top->count; i++) {
		if (digest_equal(&top->descriptors[i].digest, &walk->top))
			r = summary_add_name(walk->list, summary, walk->store->path,
				descriptor_name(&top->descriptors[i]), err);
	}
	return r;
}

/* What the manifest says. -EMEDIUMTYPE and -ENOENT as oci_plan_manifest has it. */
static int read_image(struct walk *walk, const struct descriptor *descriptor, struct plan *plan,
	struct error *err)
{
	cleanup_free char *what = oci_label(walk->store, descriptor);
	cleanup_json json_object *manifest = NULL;
	int r = descriptor_read_document(walk->store, descriptor, what, &manifest, err);
	return r < 0 ? r : oci_plan_manifest(walk->store, manifest, what, plan, err);
}

/* An image, an attestation, or an index that is not there. */
static int add_image(struct walk *walk, const struct descriptor *descriptor, struct error *err)
{
	struct image_summary *summary = NULL;
	cleanup_plan struct plan plan = {0};
	if (summary_find(walk->list, descriptor->digest_text) != NULL)
		return 0;
	int found = descriptor->is_attestation ? 0 : read_image(walk, descriptor, &plan, err);
	if (found == -EMEDIUMTYPE)
		return 0;
	if (found < 0 && found != -ENOENT)
		return found;
	int r = summary_add(walk->list, walk->store->path, descriptor->digest_text, &summary, err);
	if (r < 0)
		return r;
	summary->is_attestation = descriptor->is_attestation;
	summary->is_missing = found == -ENOENT;
	set_platform(summary, descriptor);
	if (found == 0 && !descriptor->is_attestation)
		summary_set_plan(summary, &plan);
	return descriptor->is_attestation ? 0 : add_names(walk, summary, err);
}

static int step(struct walk *walk, struct error *err)
{
	struct level *level = &walk->levels[walk->depth - 1];
	if (level->next == level->count) {
		leave(walk);
		return 0;
	}
	const struct descriptor *descriptor = &level->descriptors[level->next++];
	if (walk->depth == 1)
		walk->top = descriptor->digest;
	if (!descriptor_is_manifest(descriptor))
		return 0;
	cleanup_free char *blob = descriptor_blob_name(descriptor);
	if (descriptor_is_index(descriptor) && store_has(walk->store, blob))
		return add_index(walk, descriptor, err);
	return add_image(walk, descriptor, err);
}

int oci_list(struct store *store, struct image_list *list, struct error *err)
{
	struct walk walk __attribute__((cleanup(walk_free))) = {
		.store = store, .list = list, .seen = json_object_new_object()};
	cleanup_free char *what = xasprintf("%s: index.json", store->path);
	json_object *document = NULL;
	int r = oci_read_top(store, what, &document, err);
	if (r == 0)
		r = enter(&walk, document, what, err);
	while (r == 0 && walk.depth > 0)
		r = step(&walk, err);
	return r;
}
