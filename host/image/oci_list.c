/* All images of an OCI image layout, nested indexes laid flat. */
#include <errno.h>
#include <stdbool.h>

#include "image/json_safe.h"
#include "image/manifests.h"
#include "image/oci_document.h"
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
	json_object *seen; /* the digests of the documents that were read, as keys */
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

/* An index in an index. Takes the document over. */
static int add_index(struct walk *walk, const struct descriptor *descriptor, json_object *document,
	struct error *err)
{
	cleanup_free char *what = oci_label(walk->store, descriptor);
	if (walk->depth < OCI_NESTING_MAX + 1)
		return enter(walk, document, what, err);
	json_object_put(document);
	return error_set(err, ERROR_INPUT, ELOOP,
		"%s: indexes are nested deeper than the limit of %u", what, OCI_NESTING_MAX);
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

/* Adds an entry for the descriptor. plan: what the manifest says; NULL: it is not read. */
static int add_summary(struct walk *walk, const struct descriptor *descriptor,
	const struct plan *plan, struct error *err)
{
	struct image_summary *summary = NULL;
	if (summary_find(walk->list, descriptor->digest_text) != NULL)
		return 0;
	int r = summary_add(walk->list, walk->store->path, descriptor->digest_text, &summary, err);
	if (r < 0)
		return r;
	summary->is_attestation = descriptor->is_attestation;
	summary->is_missing = plan == NULL && !descriptor->is_attestation;
	set_platform(summary, descriptor);
	if (plan != NULL)
		summary_set_plan(summary, plan);
	return descriptor->is_attestation ? 0 : add_names(walk, summary, err);
}

/* An image, of which parts may not be there. */
static int add_image(struct walk *walk, const struct descriptor *descriptor, json_object *manifest,
	struct error *err)
{
	cleanup_plan struct plan plan = {0};
	cleanup_free char *what = oci_label(walk->store, descriptor);
	int r = oci_plan_manifest(walk->store, manifest, what, &plan, err);
	if (r == -EMEDIUMTYPE)
		return 0;
	if (r < 0 && r != -ENOENT)
		return r;
	return add_summary(walk, descriptor, r == 0 ? &plan : NULL, err);
}

/* Reads what a descriptor points at. What was walked before is not again: it may hold any number.
 */
static int add_document(struct walk *walk, const struct descriptor *descriptor, struct error *err)
{
	cleanup_free char *what = oci_label(walk->store, descriptor);
	cleanup_json json_object *document = NULL;
	enum oci_kind kind = OCI_UNKNOWN;
	if (json_object_object_get_ex(walk->seen, descriptor->digest_text, NULL))
		return 0;
	json_object_object_add(walk->seen, descriptor->digest_text, NULL);
	int r = descriptor_read_document(walk->store, descriptor, what, &document, err);
	if (r == -ENOENT)
		return add_summary(walk, descriptor, NULL, err);
	if (r == 0)
		r = oci_document_kind(document, descriptor->media_type, what, &kind, err);
	if (r == -EMEDIUMTYPE)
		return 0;
	if (r < 0)
		return r;
	if (kind == OCI_INDEX)
		return add_index(walk, descriptor, steal_ptr(&document), err);
	return add_image(walk, descriptor, document, err);
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
	return descriptor->is_attestation ? add_summary(walk, descriptor, NULL, err)
					  : add_document(walk, descriptor, err);
}

int oci_list(struct store *store, struct image_list *list, struct error *err)
{
	struct walk walk __attribute__((cleanup(walk_free))) = {
		.store = store, .list = list, .seen = json_object_new_object()};
	cleanup_free char *what = oci_top_label(store);
	json_object *document = NULL;
	int r = oci_read_top(store, what, &document, err);
	if (r == 0)
		r = enter(&walk, document, what, err);
	while (r == 0 && walk.depth > 0)
		r = step(&walk, err);
	return r;
}
