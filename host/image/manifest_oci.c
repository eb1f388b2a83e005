/* OCI image layouts (image-spec image-layout.md): index.json, nested indexes, one manifest. */
#include <errno.h>
#include <string.h>

#include "image/json_safe.h"
#include "image/oci_descriptor.h"
#include "image/plan.h"
#include "image/platform.h"
#include "support/memory.h"

/* Indexes in indexes; containerd writes two levels. */
#define INDEX_NESTING_MAX 8u

/* The bytes of names that an error lists before it breaks off. */
#define LIST_MAX 600u

/* How well a descriptor fits the wanted name: as plan_name_fit, plus one; 1 for the bare tag. */
static unsigned name_fit(
	const struct descriptor *descriptor, const char *wanted, const char *wanted_tag)
{
	unsigned fit = 0;
	if (descriptor->image_name != NULL)
		fit = plan_name_fit(descriptor->image_name, wanted);
	if (fit == 0 && descriptor->ref_name != NULL)
		fit = plan_name_fit(descriptor->ref_name, wanted);
	if (fit > 0)
		return fit + 1;
	/* Without a repository a tag is all there is to go by. */
	return descriptor->image_name == NULL && descriptor->ref_name != NULL &&
	       strcmp(descriptor->ref_name, wanted_tag) == 0;
}

static const char *name_of(const struct descriptor *descriptor)
{
	return descriptor->image_name != NULL ? descriptor->image_name : descriptor->ref_name;
}

static bool same_name(const struct descriptor *a, const struct descriptor *b)
{
	const char *x = name_of(a);
	const char *y = name_of(b);
	return x == NULL || y == NULL ? x == y : strcmp(x, y) == 0;
}

/* The image descriptors of an index, in order. *out is the caller's; what they point to is the
 * index's. */
static int read_descriptors(json_object *document, const char *what, struct descriptor **out,
	size_t *count, struct error *err)
{
	json_object *manifests;
	*count = 0;
	*out = NULL;
	int r = json_get(
		document, "manifests", json_type_array, what, ERROR_INPUT, &manifests, err);
	if (r < 0)
		return r;
	size_t all = manifests != NULL ? json_object_array_length(manifests) : 0;
	cleanup_free struct descriptor *descriptors = xcalloc(all, sizeof(*descriptors));
	for (size_t i = 0; i < all; i++) {
		struct descriptor *descriptor = &descriptors[*count];
		r = descriptor_read(json_object_array_get_idx(manifests, i), what, descriptor, err);
		if (r < 0)
			return r;
		if (descriptor_is_image(descriptor))
			++*count;
	}
	if (*count == 0)
		return error_set(err, ERROR_INPUT, ENOENT, "%s: lists no image", what);
	*out = steal_ptr(&descriptors);
	return 0;
}

static int no_such_name(const char *what, const struct descriptor *descriptors, size_t count,
	const char *wanted, struct error *err)
{
	cleanup_buffer struct buffer names = {0};
	for (size_t i = 0; i < count; i++) {
		const char *name = name_of(&descriptors[i]);
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
		unsigned fit = name_fit(&descriptors[i], wanted, options->tag);
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
			name_of(&chosen) != NULL ? name_of(&chosen) : "which has no name");
	*count = kept;
	return 0;
}

/* The descriptor of the wanted platform; a single one is taken as it is. */
static int choose_platform(const char *what, const struct image_options *options,
	const struct descriptor *descriptors, size_t count, struct descriptor *out,
	struct error *err)
{
	const char *architecture = options->architecture != NULL ? options->architecture
								 : platform_host_architecture();
	cleanup_buffer struct buffer found = {0};
	if (count == 1) {
		*out = descriptors[0];
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		const struct descriptor *descriptor = &descriptors[i];
		if (descriptor->architecture == NULL ||
			(strcmp(descriptor->architecture, architecture) == 0 &&
				(descriptor->os == NULL || strcmp(descriptor->os, "linux") == 0))) {
			*out = *descriptor;
			return 0;
		}
		if (found.len < LIST_MAX)
			buffer_printf(&found, "%s%s/%s", i > 0 ? ", " : "",
				descriptor->os != NULL ? descriptor->os : "linux",
				descriptor->architecture);
	}
	cleanup_free char *list = buffer_steal_text(&found);
	return error_set(err, ERROR_INPUT, ENOENT, "%s: has no image for linux/%s; there are: %s",
		what, architecture, list);
}

static int read_top(
	const struct archive_index *index, const char *what, json_object **out, struct error *err)
{
	const struct member *member;
	cleanup_buffer struct buffer text = {0};
	int r = index_resolve(index, "index.json", &member, err);
	if (r == 0)
		r = json_read_member(index, member, what, &text, err);
	if (r == 0)
		r = json_parse(text.data, text.len, what, out, err);
	if (r == 0)
		r = json_expect(*out, json_type_object, what, "document", ERROR_INPUT, err);
	return r;
}

/* Walks from index.json down to one manifest document. */
static int find_manifest(const struct archive_index *index, const struct image_options *options,
	struct plan *plan, json_object **out, struct error *err)
{
	cleanup_json json_object *document = NULL;
	cleanup_free char *top = xasprintf("%s: index.json", index->path);
	int r = read_top(index, top, &document, err);
	for (unsigned level = 0; r == 0; level++) {
		cleanup_free struct descriptor *descriptors = NULL;
		size_t count = 0;
		struct descriptor chosen = {.media_type = ""};
		r = read_descriptors(document, top, &descriptors, &count, err);
		if (descriptors == NULL)
			return r;
		if (level == 0)
			r = filter_by_name(top, options, descriptors, &count, err);
		if (r == 0)
			r = choose_platform(top, options, descriptors, count, &chosen, err);
		if (r < 0)
			return r;
		if (level == 0 && name_of(&chosen) != NULL)
			plan->name = xstrdup(name_of(&chosen));
		bool is_manifest = !descriptor_is_index(&chosen);
		if (!is_manifest && level == INDEX_NESTING_MAX)
			return error_set(err, ERROR_INPUT, ELOOP,
				"%s: indexes are nested deeper than the limit of %u", top,
				INDEX_NESTING_MAX);
		free(top);
		top = xasprintf("%s: %s %s", index->path, is_manifest ? "manifest" : "index",
			chosen.digest_text);
		cleanup_json json_object *next = NULL;
		r = descriptor_read_document(index, &chosen, top, &next, err);
		if (r == 0 && is_manifest) {
			*out = steal_ptr(&next);
			return 0;
		}
		json_object_put(document);
		document = steal_ptr(&next);
	}
	return r;
}

static int add_layers(const struct archive_index *index, json_object *manifest, const char *what,
	struct plan *plan, struct error *err)
{
	json_object *layers;
	int r = json_get(manifest, "layers", json_type_array, what, ERROR_INPUT, &layers, err);
	if (r < 0 || layers == NULL)
		return r;
	for (size_t i = 0; i < json_object_array_length(layers); i++) {
		struct descriptor descriptor;
		const struct member *member;
		r = descriptor_read(json_object_array_get_idx(layers, i), what, &descriptor, err);
		if (r < 0)
			return r;
		if (strstr(descriptor.media_type, "+encrypted") != NULL)
			return error_set(err, ERROR_INPUT, ENOTSUP, "%s: layer %s is encrypted",
				what, descriptor.digest_text);
		r = descriptor_find(index, &descriptor, what, &member, err);
		if (r == 0)
			r = plan_add_layer(plan, index, descriptor.digest_text, member,
				&descriptor.digest, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int plan_oci(const struct archive_index *index, const struct image_options *options,
	struct plan *plan, struct error *err)
{
	cleanup_json json_object *manifest = NULL;
	json_object *value;
	struct descriptor config = {.media_type = ""};
	const struct member *member;
	cleanup_free char *what = xasprintf("%s: image manifest", index->path);
	int r = find_manifest(index, options, plan, &manifest, err);
	if (r == 0)
		r = json_need(manifest, "config", json_type_object, what, &value, err);
	if (r == 0)
		r = descriptor_read(value, what, &config, err);
	if (r < 0)
		return r;
	if (!descriptor_is_config(&config))
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: is no container image but an artifact of type %s", what,
			config.media_type);
	r = descriptor_find(index, &config, what, &member, err);
	if (r == 0)
		r = plan_set_config(plan, index, member, &config.digest, err);
	if (r == 0)
		r = add_layers(index, manifest, what, plan, err);
	return r;
}
