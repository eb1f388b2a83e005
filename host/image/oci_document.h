/* OCI documents (image-spec manifest.md, image-index.md): which of the two a document is. */
#ifndef LAYERVM_IMAGE_OCI_DOCUMENT_H
#define LAYERVM_IMAGE_OCI_DOCUMENT_H

#include <json-c/json.h>
#include <stdbool.h>

#include "support/error.h"

enum oci_kind {
	OCI_UNKNOWN,
	OCI_MANIFEST,
	OCI_INDEX,
};

/* What a media type stands for, in OCI's words or Docker's; OCI_UNKNOWN for any other. */
enum oci_kind oci_type_kind(const char *media_type);

/*
 * Tells by what an object holds whether it is a manifest or an index, or by the media types where
 * it holds nothing. media_type: the descriptor's that points at
 * it, "" where there is none. Refused as an ERROR_INPUT: a document that has the
 * keys of both, so that two readers may see two images (CVE-2021-41190); one whose mediaType, or
 * whose descriptor's, stands for something else; one of which nothing tells; another schemaVersion
 * than 2. A media type that stands for neither of the two gives -EMEDIUMTYPE. what: for messages.
 */
int oci_document_kind(json_object *document, const char *media_type, const char *what,
	enum oci_kind *kind, struct error *err);

#endif
