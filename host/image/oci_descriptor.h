/* OCI descriptors (image-spec descriptor.md): what they point at, and what they say of it. */
#ifndef LAYERVM_IMAGE_OCI_DESCRIPTOR_H
#define LAYERVM_IMAGE_OCI_DESCRIPTOR_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "image/archive_index.h"
#include "support/digest.h"

/* A checked descriptor; the strings belong to its JSON. */
struct descriptor {
	const char *media_type; /* "" where there is none, as old writers leave it out */
	const char *digest_text;
	struct digest digest;
	uint64_t size;
	const char *ref_name; /* annotations, or NULL */
	const char *image_name;
	bool is_attestation;
	const char *os; /* platform, or NULL */
	const char *architecture;
};

/* Reads a descriptor from a JSON value of any type. what: for messages. */
int descriptor_read(
	json_object *object, const char *what, struct descriptor *out, struct error *err);

/* Whether it points at an index of further descriptors. */
bool descriptor_is_index(const struct descriptor *descriptor);

/* Whether an image manifest, or an index of some, may be behind it: no attestation. */
bool descriptor_is_image(const struct descriptor *descriptor);

/* Whether it points at an image config: Helm charts and the like are manifests with another. */
bool descriptor_is_config(const struct descriptor *descriptor);

/* The member of the archive that it points at, which must have the size that it says. */
int descriptor_find(const struct archive_index *index, const struct descriptor *descriptor,
	const char *what, const struct member **out, struct error *err);

/* Reads the manifest or index that it points at: an object with the digest that it says. */
int descriptor_read_document(const struct archive_index *index, const struct descriptor *descriptor,
	const char *what, json_object **out, struct error *err);

#endif
