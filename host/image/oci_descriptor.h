/* OCI descriptors (image-spec descriptor.md): what they point at, and what they say of it. */
#ifndef LAYERVM_IMAGE_OCI_DESCRIPTOR_H
#define LAYERVM_IMAGE_OCI_DESCRIPTOR_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/store.h"
#include "support/digest.h"

/* A checked descriptor; the strings belong to its JSON. */
struct descriptor {
	const char *media_type; /* "" where there is none, as old writers leave it out */
	const char *digest_text;
	struct digest digest;
	uint64_t size;
	json_object *annotations; /* texts, or NULL */
	const char *ref_name;     /* of the annotations, or NULL */
	const char *image_name;
	bool is_attestation;
	const char *os; /* platform, or NULL */
	const char *architecture;
	const char *variant;
};

/* Reads a descriptor from a JSON value of any type. what: for messages. */
int descriptor_read(
	json_object *object, const char *what, struct descriptor *out, struct error *err);

/*
 * Whether it points at an image manifest or an index, be it of an attestation, or does not say at
 * what: the document tells (oci_document_kind).
 */
bool descriptor_is_manifest(const struct descriptor *descriptor);

/* Whether an image may be behind it: as descriptor_is_manifest, and no attestation. */
bool descriptor_is_image(const struct descriptor *descriptor);

/* Its name by its annotations: the full one, or only a tag; NULL. */
const char *descriptor_name(const struct descriptor *descriptor);

/* Whether it points at an image config: Helm charts and the like are manifests with another. */
bool descriptor_is_config(const struct descriptor *descriptor);

/* The name of its blob in the store, and of the document that it points at; the caller frees it. */
char *descriptor_blob_name(const struct store *store, const struct descriptor *descriptor)
	__attribute__((returns_nonnull));
char *descriptor_document_name(const struct store *store, const struct descriptor *descriptor)
	__attribute__((returns_nonnull));

/* Checks that its blob is there, with the size that it says. -ENOENT: it is not there. */
int descriptor_check_blob(struct store *store, const struct descriptor *descriptor,
	const char *what, struct error *err);

/* Reads the manifest or index that it points at: an object with the digest that it says. */
int descriptor_read_document(struct store *store, const struct descriptor *descriptor,
	const char *what, json_object **out, struct error *err);

/*
 * The descriptors of an index's `manifests`, in order, checked. *out is the caller's; what they
 * point to is the document's.
 */
int descriptor_read_all(json_object *document, const char *what, struct descriptor **out,
	size_t *count, struct error *err);

#endif
