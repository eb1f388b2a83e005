/* The attributes of buildImage, one by one. */
#ifndef LAYERVM_SPEC_ATTRIBUTES_H
#define LAYERVM_SPEC_ATTRIBUTES_H

#include "spec/spec.h"

/*
 * Sets the spec from a SPEC.json that was parsed. name: for messages. folder: what relative paths
 * are relative to, "" for none. Takes nothing over from object but a reference to its config.
 */
int attributes_take(json_object *object, const char *name, const char *folder,
	struct build_spec *spec, struct report *report, struct error *err);

#endif
