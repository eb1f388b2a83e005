#include "image/oci_descriptor.h"

#include <errno.h>
#include <string.h>

#include "image/json_safe.h"
#include "image/oci_document.h"
#include "support/memory.h"

#define REF_NAME "org.opencontainers.image.ref.name"
#define IMAGE_NAME "io.containerd.image.name"

/* The annotation of that key, or NULL. */
static const char *annotation(const struct descriptor *descriptor, const char *key)
{
	json_object *value = NULL;
	json_object_object_get_ex(descriptor->annotations, key, &value);
	const char *text = json_object_get_string(value);
	return text != NULL && *text != '\0' ? text : NULL;
}

static int read_annotations(
	json_object *object, const char *what, struct descriptor *out, struct error *err)
{
	int r = json_get(
		object, "annotations", json_type_object, what, ERROR_INPUT, &out->annotations, err);
	if (r < 0 || out->annotations == NULL)
		return r;
	json_object_object_foreach(out->annotations, key, value)
	{
		r = json_expect_text(value, what, key, ERROR_INPUT, err);
		if (r < 0)
			return r;
	}
	out->ref_name = annotation(out, REF_NAME);
	out->image_name = annotation(out, IMAGE_NAME);
	out->is_attestation = annotation(out, "vnd.docker.reference.type") != NULL;
	return 0;
}

static int read_platform(
	json_object *object, const char *what, struct descriptor *out, struct error *err)
{
	json_object *platform;
	json_object *value;
	int r = json_get(object, "platform", json_type_object, what, ERROR_INPUT, &platform, err);
	if (r < 0 || platform == NULL)
		return r;
	r = json_get(platform, "os", json_type_string, what, ERROR_INPUT, &value, err);
	if (r < 0)
		return r;
	out->os = json_object_get_string(value);
	r = json_get(platform, "architecture", json_type_string, what, ERROR_INPUT, &value, err);
	if (r < 0)
		return r;
	out->architecture = json_object_get_string(value);
	r = json_get(platform, "variant", json_type_string, what, ERROR_INPUT, &value, err);
	out->variant = json_object_get_string(value);
	return r;
}

int descriptor_read(
	json_object *object, const char *what, struct descriptor *out, struct error *err)
{
	json_object *value;
	*out = (struct descriptor){.media_type = ""};
	int r = json_expect(object, json_type_object, what, "descriptor", ERROR_INPUT, err);
	if (r < 0)
		return r;
	r = json_get(object, "mediaType", json_type_string, what, ERROR_INPUT, &value, err);
	if (r < 0)
		return r;
	if (value != NULL)
		out->media_type = json_object_get_string(value);
	r = json_need(object, "digest", json_type_string, what, &value, err);
	if (r < 0)
		return r;
	out->digest_text = json_object_get_string(value);
	r = digest_read(&out->digest, out->digest_text, what, "digest", err);
	if (r < 0)
		return r;
	r = json_need(object, "size", json_type_int, what, &value, err);
	if (r < 0)
		return r;
	int64_t size = json_object_get_int64(value);
	if (size < 0)
		return error_set(err, ERROR_INPUT, EINVAL, "%s: size: %lld is negative", what,
			(long long)size);
	out->size = (uint64_t)size;
	r = read_annotations(object, what, out, err);
	if (r == 0)
		r = read_platform(object, what, out, err);
	/* BuildKit gives its attestations this platform, so that nobody runs them. */
	if (r == 0 && out->os != NULL && strcmp(out->os, "unknown") == 0)
		out->is_attestation = true;
	return r;
}

char *descriptor_blob_name(const struct store *store, const struct descriptor *descriptor)
{
	char hex[DIGEST_TEXT_SIZE];
	return xasprintf("%s%s", store->names == STORE_NAMES_FLAT ? "" : "blobs/sha256/",
		digest_hex(&descriptor->digest, hex));
}

char *descriptor_document_name(const struct store *store, const struct descriptor *descriptor)
{
	char hex[DIGEST_TEXT_SIZE];
	if (store->names != STORE_NAMES_FLAT)
		return descriptor_blob_name(store, descriptor);
	if (digest_equal(&descriptor->digest, &store->flat_top))
		return xstrdup("manifest.json");
	return xasprintf("%s.manifest.json", digest_hex(&descriptor->digest, hex));
}

static int check_size(const struct extent *extent, const struct descriptor *descriptor,
	const char *what, const char *name, struct error *err)
{
	if (extent->size == descriptor->size)
		return 0;
	return error_set(err, ERROR_INPUT, EINVAL, "%s: expected %s to have %llu bytes, found %llu",
		what, name, (unsigned long long)descriptor->size, (unsigned long long)extent->size);
}

int descriptor_check_blob(struct store *store, const struct descriptor *descriptor,
	const char *what, struct error *err)
{
	struct extent extent;
	cleanup_free char *name = descriptor_blob_name(store, descriptor);
	int r = store_find(store, name, &extent, err);
	return r < 0 ? r : check_size(&extent, descriptor, what, name, err);
}

int descriptor_read_document(struct store *store, const struct descriptor *descriptor,
	const char *what, json_object **out, struct error *err)
{
	struct extent extent;
	cleanup_buffer struct buffer text = {0};
	cleanup_json json_object *document = NULL;
	cleanup_free char *name = descriptor_document_name(store, descriptor);
	int r = store_find(store, name, &extent, err);
	if (r == 0)
		r = check_size(&extent, descriptor, what, name, err);
	if (r == 0)
		r = json_read_extent(store, &extent, what, &text, err);
	if (r < 0)
		return r;
	struct digest found = digest_of(text.data, text.len);
	r = digest_expect(&descriptor->digest, &found, what, "digest", err);
	if (r == 0)
		r = json_parse(text.data, text.len, what, &document, err);
	if (r == 0)
		r = json_expect(document, json_type_object, what, "document", ERROR_INPUT, err);
	if (r == 0)
		*out = steal_ptr(&document);
	return r;
}

int descriptor_read_all(json_object *document, const char *what, struct descriptor **out,
	size_t *count, struct error *err)
{
	json_object *manifests;
	int r = json_get(
		document, "manifests", json_type_array, what, ERROR_INPUT, &manifests, err);
	if (r < 0)
		return r;
	size_t all = manifests != NULL ? json_object_array_length(manifests) : 0;
	cleanup_free struct descriptor *descriptors = xcalloc(all, sizeof(*descriptors));
	for (size_t i = 0; r == 0 && i < all; i++)
		r = descriptor_read(
			json_object_array_get_idx(manifests, i), what, &descriptors[i], err);
	if (r < 0)
		return r;
	*out = steal_ptr(&descriptors);
	*count = all;
	return 0;
}

bool descriptor_is_manifest(const struct descriptor *descriptor)
{
	return descriptor->media_type[0] == '\0' ||
	       oci_type_kind(descriptor->media_type) != OCI_UNKNOWN;
}

bool descriptor_is_image(const struct descriptor *descriptor)
{
	return descriptor_is_manifest(descriptor) && !descriptor->is_attestation;
}

const char *descriptor_name(const struct descriptor *descriptor)
{
	return descriptor->image_name != NULL ? descriptor->image_name : descriptor->ref_name;
}

bool descriptor_is_config(const struct descriptor *config)
{
	return strcmp(config->media_type, "application/vnd.oci.image.config.v1+json") == 0 ||
	       strcmp(config->media_type, "application/vnd.docker.container.image.v1+json") == 0 ||
	       config->media_type[0] == '\0';
}
