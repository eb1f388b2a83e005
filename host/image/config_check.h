/* The parts of an image config document that layervm itself uses, checked before use. */
#ifndef LAYERVM_IMAGE_CONFIG_CHECK_H
#define LAYERVM_IMAGE_CONFIG_CHECK_H

#include <json-c/json.h>
#include <stddef.h>

#include "support/digest.h"
#include "support/error.h"

/*
 * Checks a config document (image-spec config.md): an object for Linux with rootfs.diff_ids,
 * whose config and history have the types that the merge relies on.
 */
int config_check_document(json_object *document, const char *what, struct error *err);

/* Checks the `config` part alone: Env and Labels. NULL (null, absent) passes. */
int config_check_part(
	json_object *config, const char *what, enum error_kind kind, struct error *err);

/* The diff IDs of a checked document. Returns their array, which the caller frees. */
struct digest *config_diff_ids(json_object *document, size_t *count);

#endif
