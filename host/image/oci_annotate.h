/* Annotations of layers, where docker save's manifest.json stands beside an OCI layout. */
#ifndef LAYERVM_IMAGE_OCI_ANNOTATE_H
#define LAYERVM_IMAGE_OCI_ANNOTATE_H

#include "image/plan.h"

/*
 * Gives the layers of a plan by manifest.json the annotations that they have in the manifest of
 * the same config, if index.json leads to one. Only layers whose digests both name get them. What
 * is wrong in the OCI documents is passed over, since the image is not read by them.
 */
void oci_annotate(struct store *store, struct plan *plan);

#endif
