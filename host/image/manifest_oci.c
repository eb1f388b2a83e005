/* OCI image layouts (image-spec image-layout.md): from index.json down to one manifest. */
#include <errno.h>
#include <string.h>

#include "image/json_safe.h"
#include "image/manifests.h"
#include "image/oci_document.h"
#include "image/oci_manifest.h"
#include "support/architecture.h"
#include "support/memory.h"

/* The bytes of names that an error lists before it breaks off. */
#define LIST_MAX 600u

/* How well a descriptor fits the wanted name, as plan_name_fit. */
static unsigned name_fit(const struct descriptor *descriptor, const char *wanted)
{
	unsigned fit = 0;
	if (descriptor->image_name != NULL)
		fit = plan_name_fit(descriptor->image_name, wanted);
	if (fit == 0 && descriptor->ref_name != NULL)
		fit = plan_name_fit(descriptor->ref_name, wanted);
	return fit;
}

static bool same_name(const struct descriptor *a, const struct descriptor *b)
{
	const char *x = descriptor_name(a);
	const char *y = descriptor_name(b);
	return x == NULL || y == NULL ? x == y : strcmp(x, y) == 0;
}

/* As descriptor_read_all, those that may be images; there is one at least. */
static int read_images(json_object *document, const char *what, struct descriptor **out,
	size_t *count, struct error *err)
{
	cleanup_free struct descriptor *descriptors = NULL;
	size_t all = 0;
	size_t kept = 0;
	int r = descriptor_read_all(document, what, &descriptors, &all, err);
	for (size_t i = 0; r == 0 && i < all; i++) {
		if (descriptor_is_image(&descriptors[i]))
			descriptors[kept++] = descriptors[i];
	}
	if (r == 0 && kept == 0)
		r = error_set(err, ERROR_INPUT, ENOENT, "%s: lists no image", what);
	if (r < 0)
		return r;
	*out = steal_ptr(&descriptors);
	*count = kept;
	return 0;
}

static int no_such_name(const char *what, const struct descriptor *descriptors, size_t count,
	const char *wanted, struct error *err)
{
	cleanup_buffer struct buffer names = {0};
	for (size_t i = 0; i < count; i++) {
		const char *name = descriptor_name(&descriptors[i]);
		if (i > 0 && same_name(&descriptors[i - 1], &descriptors[i]))
			continue;
		buffer_printf(&names, ", %s", name != NULL ? name : "one without a name");
		if (names.len >= LIST_MAX) {
			buffer_add_text(&names, ", ...");
			break;
		}
	}
	cleanup_free char *list = buffer_steal_text(&names);
	return error_set(err, ERROR_INPUT, ENOENT, "%s: has no image %s; there are: %s", what,
		wanted, list + 2);
}

/* Keeps those of the descriptors that bear the wanted name, or the first's. */
static int filter_by_name(const char *what, const struct image_options *options,
	struct descriptor *descriptors, size_t *count, struct error *err)
{
	cleanup_free char *wanted = plan_wanted_name(options);
	size_t first = 0;
	unsigned best = 0;
	size_t kept = 0;
	for (size_t i = 0; wanted != NULL && i < *count; i++) {
		unsigned fit = name_fit(&descriptors[i], wanted);
		if (fit > best) {
			best = fit;
			first = i;
		}
	}
	if (wanted != NULL && best == 0)
		return no_such_name(what, descriptors, *count, wanted, err);
	struct descriptor chosen = descriptors[first];
	for (size_t i = first; i < *count; i++) {
		if (same_name(&descriptors[i], &chosen))
			descriptors[kept++] = descriptors[i];
	}
	if (wanted == NULL && kept < *count && options->report != NULL)
		report_note(options->report, "%s: has several images; takes the first, %s", what,
			descriptor_name(&chosen) != NULL ? descriptor_name(&chosen)
							 : "which has no name");
	*count = kept;
	return 0;
}

static const char *wanted_architecture(const struct image_options *options)
{
	return options->architecture != NULL ? options->architecture : architecture_of_host();
}

/*
 * How well a descriptor fits the platform: 0 not at all; 1 it does not say what it is for; 2 by
 * the architecture, of a variant that was not asked for or without the one that was; 3 wholly.
 */
static unsigned platform_fit(
	const struct descriptor *descriptor, const char *architecture, const char *variant)
{
	if (descriptor->os != NULL && strcmp(descriptor->os, "linux") != 0)
		return 0;
	if (descriptor->architecture == NULL)
		return 1;
	if (strcmp(descriptor->architecture, architecture) != 0)
		return 0;
	if (variant == NULL || descriptor->variant == NULL)
		return variant == descriptor->variant ? 3 : 2;
	return strcmp(descriptor->variant, variant) == 0 ? 3 : 0;
}

static void add_platform(struct buffer *list, const struct descriptor *descriptor)
{
	buffer_printf(list, ", %s/%s%s%s", descriptor->os != NULL ? descriptor->os : "linux",
		descriptor->architecture != NULL ? descriptor->architecture : "unknown",
		descriptor->variant != NULL ? "/" : "",
		descriptor->variant != NULL ? descriptor->variant : "");
}

static int no_such_platform(const char *what, const char *architecture, const char *variant,
	const struct descriptor *descriptors, size_t count, struct error *err)
{
	cleanup_buffer struct buffer found = {0};
	for (size_t i = 0; i < count && found.len < LIST_MAX; i++)
		add_platform(&found, &descriptors[i]);
	cleanup_free char *list = buffer_steal_text(&found);
	return error_set(err, ERROR_INPUT, ENOENT,
		"%s: has no image for linux/%s%s%s; there are: %s", what, architecture,
		variant != NULL ? "/" : "", variant != NULL ? variant : "", list + 2);
}

/* Whether a's variant comes before b's: none, v1, v2, v10. */
static bool is_lower(const struct descriptor *a, const struct descriptor *b)
{
	if (a->variant == NULL || b->variant == NULL)
		return a->variant == NULL && b->variant != NULL;
	return strverscmp(a->variant, b->variant) < 0;
}

/* The descriptor of the wanted platform, of several variants the lowest. Returns how well it fits.
 */
static unsigned best_platform(const struct image_options *options,
	const struct descriptor *descriptors, size_t count, struct descriptor *out)
{
	const char *architecture = wanted_architecture(options);
	unsigned best = 0;
	for (size_t i = 0; i < count; i++) {
		unsigned fit = platform_fit(&descriptors[i], architecture, options->variant);
		if (fit > best || (fit == 2 && best == 2 && is_lower(&descriptors[i], out))) {
			best = fit;
			*out = descriptors[i];
		}
	}
	return best;
}

/*
 * What the machine at hand runs does not decide, because the same inputs give the same image on
 * every machine; the lowest variant runs on all.
 */
static void note_variant(const char *what, const struct image_options *options,
	const struct descriptor *descriptors, size_t count, const struct descriptor *chosen)
{
	bool has_others = false;
	for (size_t i = 0; i < count; i++)
		has_others = has_others ||
			     (platform_fit(&descriptors[i], chosen->architecture, NULL) == 2 &&
				     is_lower(chosen, &descriptors[i]));
	if (has_others && options->report != NULL)
		report_note(options->report,
			"%s: has several variants of %s; takes the lowest, linux/%s/%s", what,
			chosen->architecture, chosen->architecture, chosen->variant);
}

/* The descriptor of the wanted platform; a single one is taken whatever it is for. */
static int choose_platform(const char *what, const struct image_options *options,
	const struct descriptor *descriptors, size_t count, struct descriptor *out,
	struct error *err)
{
	*out = descriptors[0];
	unsigned best = best_platform(options, descriptors, count, out);
	if (best == 2 && options->variant == NULL)
		note_variant(what, options, descriptors, count, out);
	if (best > 0 || count == 1)
		return 0;
	return no_such_platform(
		what, wanted_architecture(options), options->variant, descriptors, count, err);
}

/* Chooses among the descriptors of an index. is_top: they bear names. */
static int choose(json_object *document, const char *what, const struct image_options *options,
	bool is_top, struct descriptor *out, struct error *err)
{
	cleanup_free struct descriptor *descriptors = NULL;
	size_t count = 0;
	int r = read_images(document, what, &descriptors, &count, err);
	if (r == 0 && is_top)
		r = filter_by_name(what, options, descriptors, &count, err);
	if (r == 0)
		r = choose_platform(what, options, descriptors, count, out, err);
	return r;
}

/* The innermost platform counts: outer indexes rarely tell one. */
static void take_platform(struct plan *plan, const struct descriptor *descriptor)
{
	if (descriptor->architecture == NULL)
		return;
	free(plan->os);
	free(plan->architecture);
	plan->os = descriptor->os != NULL ? xstrdup(descriptor->os) : NULL;
	plan->architecture = xstrdup(descriptor->architecture);
}

/* What an index lists, and the source does not hold: `docker save` of one platform of several. */
static int not_here(const struct store *store, const struct descriptor *chosen, struct error *err)
{
	struct error missing = *err;
	cleanup_buffer struct buffer platform = {0};
	if (chosen->architecture != NULL)
		add_platform(&platform, chosen);
	cleanup_free char *text = buffer_steal_text(&platform);
	const char *name = chosen->architecture != NULL      ? text + 2
			   : descriptor_name(chosen) != NULL ? descriptor_name(chosen)
							     : "the image";
	return error_set(err, ERROR_INPUT, ENOENT,
		"%s: %s is listed, but its content is not in this source: %s", store->path, name,
		missing.message);
}

/* Reads what the chosen descriptor points at, and what it is. */
static int read_chosen(struct store *store, const struct descriptor *chosen, json_object **document,
	enum oci_kind *kind, struct error *err)
{
	cleanup_free char *what = oci_label(store, chosen);
	int r = descriptor_read_document(store, chosen, what, document, err);
	if (r == -ENOENT)
		return not_here(store, chosen, err);
	return r < 0 ? r : oci_document_kind(*document, chosen->media_type, what, kind, err);
}

static int plan_chosen(struct store *store, const struct descriptor *chosen, json_object *manifest,
	struct plan *plan, struct error *err)
{
	cleanup_free char *what = oci_label(store, chosen);
	int r = oci_plan_manifest(store, manifest, what, plan, err);
	return r == -ENOENT ? not_here(store, chosen, err) : r;
}

int oci_plan(struct store *store, const struct image_options *options, struct plan *plan,
	struct error *err)
{
	cleanup_json json_object *document = NULL;
	cleanup_free char *what = oci_top_label(store);
	int r = oci_read_top(store, what, &document, err);
	for (unsigned level = 0; r == 0; level++) {
		struct descriptor chosen = {.media_type = ""};
		cleanup_json json_object *next = NULL;
		enum oci_kind kind = OCI_UNKNOWN;
		r = choose(document, what, options, level == 0, &chosen, err);
		if (r < 0)
			return r;
		if (level == 0 && descriptor_name(&chosen) != NULL)
			plan->name = xstrdup(descriptor_name(&chosen));
		take_platform(plan, &chosen);
		r = read_chosen(store, &chosen, &next, &kind, err);
		if (r == 0 && kind != OCI_INDEX)
			return plan_chosen(store, &chosen, next, plan, err);
		if (r == 0 && level == OCI_NESTING_MAX)
			return error_set(err, ERROR_INPUT, ELOOP,
				"%s: indexes are nested deeper than the limit of %u", what,
				OCI_NESTING_MAX);
		free(what);
		what = oci_label(store, &chosen);
		json_object_put(document);
		document = steal_ptr(&next);
	}
	return r;
}
