/* The JSON documents of an archive in both layouts: what they say of the same blobs. */
#ifndef LAYERVM_IMAGE_IMAGE_DOCUMENTS_H
#define LAYERVM_IMAGE_IMAGE_DOCUMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "image/image.h"
#include "support/buffer.h"

/* The media type of a layer that is not compressed. */
#define TYPE_LAYER "application/vnd.oci.image.layer.v1.tar"

/* Room for "blobs/sha256/" and a digest. */
#define BLOB_NAME_SIZE 96

/* The name of a blob in the archive. Returns name. */
const char *blob_name(const struct digest *digest, char name[static BLOB_NAME_SIZE]);

/* A layer as it goes into the archive. */
struct layer_blob {
	struct digest digest;
	const char *media_type;
	json_object *annotations; /* of its descriptor; borrowed, or NULL */
	int fd;
	uint64_t offset, size;
};

/* The documents, each ready to be written. */
struct image_documents {
	struct buffer config;
	struct buffer manifest;
	struct buffer index;
	struct buffer docker; /* manifest.json */
	struct image_written digests;
};

/*
 * Makes them for base + options, whose layers are these, lowest first. A config that does not fit
 * is an error as of image_make_config. Freed by image_documents_free in every case.
 */
int image_documents_make(const struct image *base, const struct image_write_options *options,
	const struct layer_blob *blobs, size_t count, struct image_documents *documents,
	struct error *err);

void image_documents_free(struct image_documents *documents);
#define cleanup_image_documents __attribute__((cleanup(image_documents_free)))

#endif
