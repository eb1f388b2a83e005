/* OCI image manifests (image-spec manifest.md), as plans. */
#ifndef LAYERVM_IMAGE_OCI_MANIFEST_H
#define LAYERVM_IMAGE_OCI_MANIFEST_H

#include "image/oci_descriptor.h"
#include "image/plan.h"

/* Indexes in indexes; containerd writes two levels. */
#define OCI_NESTING_MAX 8u

/*
 * index.json of a layout, whose oci-layout, where it is there, is of a version that is known; of
 * flat names an index with the one entry manifest.json. what: for messages (oci_top_label).
 */
int oci_read_top(struct store *store, const char *what, json_object **out, struct error *err);

/* "PATH: index.json", for messages. The caller frees it. */
char *oci_top_label(const struct store *store) __attribute__((returns_nonnull));

/*
 * "PATH: manifest DIGEST", with "index" or "document" by the descriptor's media type, for messages.
 * The caller frees it.
 */
char *oci_label(const struct store *store, const struct descriptor *descriptor)
	__attribute__((returns_nonnull));

/*
 * Plans the image of a manifest: its config, its layers. what: for messages. A manifest that
 * stands for something else than an image gives -EMEDIUMTYPE, a missing blob -ENOENT.
 */
int oci_plan_manifest(struct store *store, json_object *manifest, const char *what,
	struct plan *plan, struct error *err);

#endif
