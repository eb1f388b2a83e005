#include "image/oci_descriptor.h"

#include <errno.h>
#include <string.h>

#include "image/json_safe.h"
#include "support/memory.h"

#define REF_NAME "org.opencontainers.image.ref.name"
#define IMAGE_NAME "io.containerd.image.name"

static int read_annotations(
	json_object *object, const char *what, struct descriptor *out, struct error *err)
{
	json_object *annotations;
	json_object *value;
	int r = json_get(
		object, "annotations", json_type_object, what, ERROR_INPUT, &annotations, err);
	if (r < 0 || annotations == NULL)
		return r;
	r = json_get(annotations, REF_NAME, json_type_string, what, ERROR_INPUT, &value, err);
	if (r < 0)
		return r;
	out->ref_name = json_object_get_string(value);
	r = json_get(annotations, IMAGE_NAME, json_type_string, what, ERROR_INPUT, &value, err);
	if (r < 0)
		return r;
	out->image_name = json_object_get_string(value);
	r = json_get(annotations, "vnd.docker.reference.type", json_type_string, what, ERROR_INPUT,
		&value, err);
	out->is_attestation = value != NULL;
	return r;
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
	out->architecture = json_object_get_string(value);
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
	if (!digest_parse(&out->digest, out->digest_text))
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: digest: expected \"sha256:\" and 64 hexadecimal digits, found \"%s\"",
			what, out->digest_text);
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
	return r;
}

int descriptor_find(const struct archive_index *index, const struct descriptor *descriptor,
	const char *what, const struct member **out, struct error *err)
{
	char hex[DIGEST_TEXT_SIZE];
	cleanup_free char *name =
		xasprintf("blobs/sha256/%s", digest_hex(&descriptor->digest, hex));
	int r = index_resolve(index, name, out, err);
	if (r < 0)
		return r;
	if ((*out)->size != descriptor->size)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: expected %s to have %llu bytes, found %llu", what, name,
			(unsigned long long)descriptor->size, (unsigned long long)(*out)->size);
	return 0;
}

int descriptor_read_document(const struct archive_index *index, const struct descriptor *descriptor,
	const char *what, json_object **out, struct error *err)
{
	const struct member *member;
	cleanup_buffer struct buffer text = {0};
	int r = descriptor_find(index, descriptor, what, &member, err);
	if (r == 0)
		r = json_read_member(index, member, what, &text, err);
	if (r < 0)
		return r;
	struct digest found = digest_of(text.data, text.len);
	if (!digest_equal(&found, &descriptor->digest)) {
		char found_text[DIGEST_TEXT_SIZE];
		return error_set(err, ERROR_INPUT, EINVAL, "%s: expected the digest %s, found %s",
			what, descriptor->digest_text, digest_text(&found, found_text));
	}
	r = json_parse(text.data, text.len, what, out, err);
	if (r < 0)
		return r;
	return json_expect(*out, json_type_object, what, "document", ERROR_INPUT, err);
}

bool descriptor_is_index(const struct descriptor *descriptor)
{
	return strcmp(descriptor->media_type, "application/vnd.oci.image.index.v1+json") == 0 ||
	       strcmp(descriptor->media_type,
		       "application/vnd.docker.distribution.manifest.list.v2+json") == 0;
}

bool descriptor_is_image(const struct descriptor *descriptor)
{
	static const char *const types[] = {
		"application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json",
		"", /* old writers left it out */
	};
	if (descriptor->is_attestation ||
		(descriptor->os != NULL && strcmp(descriptor->os, "unknown") == 0))
		return false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(descriptor->media_type, types[i]) == 0)
			return true;
	}
	return descriptor_is_index(descriptor);
}

bool descriptor_is_config(const struct descriptor *config)
{
	return strcmp(config->media_type, "application/vnd.oci.image.config.v1+json") == 0 ||
	       strcmp(config->media_type, "application/vnd.docker.container.image.v1+json") == 0 ||
	       config->media_type[0] == '\0';
}
