/*
 * An archive in two layouts at once, as docker save writes it since Docker 25: an OCI image
 * layout (image-spec image-layout.md) and manifest.json, over the same blobs.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "image/image.h"
#include "image/json_safe.h"
#include "image/tar_out.h"
#include "support/memory.h"
#include "support/reference.h"

#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_INDEX "application/vnd.oci.image.index.v1+json"
#define TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define TYPE_LAYER "application/vnd.oci.image.layer.v1.tar"

/* Room for "blobs/sha256/" and a digest. */
#define BLOB_NAME_SIZE 96

/* A layer as it goes into the archive. */
struct blob {
	struct digest digest;
	const char *media_type;
	int fd;
	uint64_t offset, size;
};

/* The documents, each ready to be written. */
struct documents {
	struct buffer config;
	struct buffer manifest;
	struct buffer index;
	struct buffer docker; /* manifest.json */
	struct image_written digests;
};

static void documents_free(struct documents *documents)
{
	buffer_free(&documents->config);
	buffer_free(&documents->manifest);
	buffer_free(&documents->index);
	buffer_free(&documents->docker);
}

static const char *blob_name(const struct digest *digest, char name[static BLOB_NAME_SIZE])
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

static json_object *versioned(const char *media_type)
{
	json_object *object = json_object_new_object();
	json_object_object_add(object, "schemaVersion", json_object_new_int(2));
	add_text(object, "mediaType", media_type);
	return object;
}

/* The base's layers and the new one, which the caller frees. */
static struct blob *collect(
	const struct image *base, const struct image_new_layer *layer, size_t *count)
{
	*count = base->layer_count + (layer != NULL ? 1 : 0);
	struct blob *blobs = xcalloc(*count, sizeof(*blobs));
	for (size_t i = 0; i < base->layer_count; i++) {
		const struct image_layer *from = &base->layers[i];
		blobs[i] = (struct blob){
			.digest = from->digest,
			.media_type = from->media_type,
			.fd = from->blob_fd,
			.offset = from->blob_offset,
			.size = from->blob_size,
		};
	}
	if (layer != NULL)
		blobs[base->layer_count] = (struct blob){
			.digest = layer->diff_id,
			.media_type = TYPE_LAYER,
			.fd = layer->fd,
			.size = layer->size,
		};
	return blobs;
}

static void make_manifest(const struct blob *blobs, size_t count, struct documents *documents)
{
	cleanup_json json_object *manifest = versioned(TYPE_MANIFEST);
	json_object_object_add(manifest, "config",
		descriptor(TYPE_CONFIG, &documents->digests.image_id, documents->config.len));
	json_object *layers = json_object_new_array();
	for (size_t i = 0; i < count; i++)
		json_object_array_add(
			layers, descriptor(blobs[i].media_type, &blobs[i].digest, blobs[i].size));
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
static void make_index(const struct image_write_options *options, struct documents *documents)
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

static void make_docker(const struct image_write_options *options, const struct blob *blobs,
	size_t count, struct documents *documents)
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

static int make_documents(const struct image *base, const struct image_write_options *options,
	const struct blob *blobs, size_t count, struct documents *documents, struct error *err)
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

/* Whether a layer with the same bytes comes before. */
static bool is_repeated(const struct blob *blobs, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (digest_equal(&blobs[k].digest, &blobs[i].digest))
			return true;
	}
	return false;
}

static int put_blob(struct sink *sink, const struct digest *digest, const struct buffer *bytes,
	struct error *err)
{
	char name[BLOB_NAME_SIZE];
	return tar_out_bytes(sink, blob_name(digest, name), bytes->data, bytes->len, err);
}

static int put_members(struct sink *sink, const struct blob *blobs, size_t count,
	const struct documents *documents, struct error *err)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	int r = tar_out_folder(sink, "blobs/", err);
	if (r == 0)
		r = tar_out_folder(sink, "blobs/sha256/", err);
	for (size_t i = 0; r == 0 && i < count; i++) {
		char name[BLOB_NAME_SIZE];
		if (!is_repeated(blobs, i))
			r = tar_out_copy(sink, blob_name(&blobs[i].digest, name), blobs[i].fd,
				blobs[i].offset, blobs[i].size, err);
	}
	if (r == 0)
		r = put_blob(sink, &documents->digests.image_id, &documents->config, err);
	if (r == 0)
		r = put_blob(sink, &documents->digests.manifest, &documents->manifest, err);
	if (r == 0)
		r = tar_out_bytes(
			sink, "index.json", documents->index.data, documents->index.len, err);
	if (r == 0)
		r = tar_out_bytes(
			sink, "manifest.json", documents->docker.data, documents->docker.len, err);
	if (r == 0)
		r = tar_out_bytes(sink, "oci-layout", layout, sizeof(layout) - 1, err);
	if (r == 0)
		r = tar_out_end(sink, err);
	return r;
}

int image_write(int fd, const struct image *base, const struct image_write_options *options,
	struct image_written *written, struct error *err)
{
	struct documents documents __attribute__((cleanup(documents_free))) = {0};
	size_t count;
	cleanup_free struct blob *blobs = collect(base, options->layer, &count);
	int r = make_documents(base, options, blobs, count, &documents, err);
	if (r < 0)
		return r;
	cleanup_sink struct sink *sink = NULL;
	r = sink_open(fd, options->compression, &sink, err);
	if (r == 0)
		r = put_members(sink, blobs, count, &documents, err);
	if (r == 0)
		r = sink_finish(sink, err);
	if (r == 0)
		*written = documents.digests;
	return r;
}
