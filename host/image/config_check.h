/* The parts of an image config document that layervm itself uses, checked before use. */
#ifndef LAYERVM_IMAGE_CONFIG_CHECK_H
#define LAYERVM_IMAGE_CONFIG_CHECK_H

#include <json-c/json.h>

#include "support/error.h"

/*
 * Checks a config document (image-spec config.md): an object with rootfs.diff_ids, whose config
 * and history have the types that the merge relies on, and whose platform is of strings.
 */
int config_check_document(json_object *document, const char *what, struct error *err);

/* As config_check_document for an object without rootfs. */
int config_check_legacy(json_object *document, const char *what, struct error *err);

/*
 * Checks the `config` part alone: Env and OnBuild are lists of strings, ExposedPorts, Labels and
 * Volumes objects. NULL (null, absent) passes.
 */
int config_check_part(
	json_object *config, const char *what, enum error_kind kind, struct error *err);

#endif
