/*
 * image-spec manifest.md, image-index.md; manifest.json as docker save writes it, which nobody has
 * specified.
 */
#include "image/image_documents.h"

#include <stdio.h>

#include "image/json_safe.h"
#include "support/memory.h"
#include "support/reference.h"

#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_INDEX "application/vnd.oci.image.index.v1+json"
#define TYPE_CONFIG "application/vnd.oci.image.config.v1+json"

void image_documents_free(struct image_documents *documents)
{
	buffer_free(&documents->config);
	buffer_free(&documents->manifest);
	buffer_free(&documents->index);
	buffer_free(&documents->docker);
}

const char *blob_name(const struct digest *digest, char name[static BLOB_NAME_SIZE])
{
	char hex[DIGEST_TEXT_SIZE];
	snprintf(name, BLOB_NAME_SIZE, "blobs/sha256/%s", digest_hex(digest, hex));
	return name;
}

static void add_text(json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

static json_object *descriptor(const char *media_type, const struct digest *digest, uint64_t size)
{
	char text[DIGEST_TEXT_SIZE];
	json_object *object = json_object_new_object();
	add_text(object, "mediaType", media_type);
	add_text(object, "digest", digest_text(digest, text));
	json_object_object_add(object, "size", json_object_new_uint64(size));
	return object;
}

/*
 * What the base's annotations say is true of the blob, wherever it is: tables of contents of
 * zstd:chunked and eStargz are found by them. Those of the base's manifest tell of the base, and do
 * not go on.
 */
static json_object *layer_descriptor(const struct layer_blob *blob)
{
	json_object *object = descriptor(blob->media_type, &blob->digest, blob->size);
	json_object *annotations = NULL;
	/* Flat texts are sorted whatever they are. */
	if (blob->annotations != NULL && json_sorted(blob->annotations, &annotations))
		json_object_object_add(object, "annotations", annotations);
	return object;
}

static json_object *versioned(const char *media_type)
{
	json_object *object = json_object_new_object();
	json_object_object_add(object, "schemaVersion", json_object_new_int(2));
	add_text(object, "mediaType", media_type);
	return object;
}

static void make_manifest(
	const struct layer_blob *blobs, size_t count, struct image_documents *documents)
{
	cleanup_json json_object *manifest = versioned(TYPE_MANIFEST);
	json_object_object_add(manifest, "config",
		descriptor(TYPE_CONFIG, &documents->digests.image_id, documents->config.len));
	json_object *layers = json_object_new_array();
	for (size_t i = 0; i < count; i++)
		json_object_array_add(layers, layer_descriptor(&blobs[i]));
	json_object_object_add(manifest, "layers", layers);
	json_put_text(manifest, &documents->manifest);
	documents->digests.manifest = digest_of(documents->manifest.data, documents->manifest.len);
}

/* "name:latest" for a name without a tag: Docker takes no other in an archive. */
static char *with_tag(const char *name)
{
	return xasprintf("%s%s", name, reference_tag(name) == NULL ? ":latest" : "");
}

/* One descriptor of the same manifest a name, with the annotations of containerd and Docker. */
static void make_index(const struct image_write_options *options, struct image_documents *documents)
{
	cleanup_json json_object *index = versioned(TYPE_INDEX);
	json_object *manifests = json_object_new_array();
	for (size_t i = 0; options->tags[i] != NULL; i++) {
		cleanup_free char *full = reference_normalise(options->tags[i]);
		json_object *annotations = json_object_new_object();
		add_text(annotations, "io.containerd.image.name", full);
		add_text(annotations, "org.opencontainers.image.ref.name", reference_tag(full));
		json_object *platform = json_object_new_object();
		add_text(platform, "architecture", options->architecture);
		add_text(platform, "os", "linux");
		json_object *manifest = descriptor(
			TYPE_MANIFEST, &documents->digests.manifest, documents->manifest.len);
		json_object_object_add(manifest, "annotations", annotations);
		json_object_object_add(manifest, "platform", platform);
		json_object_array_add(manifests, manifest);
	}
	json_object_object_add(index, "manifests", manifests);
	json_put_text(index, &documents->index);
}

static void make_docker(const struct image_write_options *options, const struct layer_blob *blobs,
	size_t count, struct image_documents *documents)
{
	char name[BLOB_NAME_SIZE];
	json_object *image = json_object_new_object();
	add_text(image, "Config", blob_name(&documents->digests.image_id, name));
	json_object *tags = json_object_new_array();
	for (size_t i = 0; options->tags[i] != NULL; i++) {
		cleanup_free char *tag = with_tag(options->tags[i]);
		json_object_array_add(tags, json_object_new_string(tag));
	}
	json_object_object_add(image, "RepoTags", tags);
	json_object *layers = json_object_new_array();
	for (size_t i = 0; i < count; i++)
		json_object_array_add(
			layers, json_object_new_string(blob_name(&blobs[i].digest, name)));
	json_object_object_add(image, "Layers", layers);
	cleanup_json json_object *list = json_object_new_array();
	json_object_array_add(list, image);
	json_put_text(list, &documents->docker);
}

int image_documents_make(const struct image *base, const struct image_write_options *options,
	const struct layer_blob *blobs, size_t count, struct image_documents *documents,
	struct error *err)
{
	cleanup_json json_object *config = NULL;
	int r = image_make_config(base, options, &config, err);
	if (r < 0)
		return r;
	json_put_text(config, &documents->config);
	documents->digests.image_id = digest_of(documents->config.data, documents->config.len);
	make_manifest(blobs, count, documents);
	make_index(options, documents);
	make_docker(options, blobs, count, documents);
	return 0;
}
