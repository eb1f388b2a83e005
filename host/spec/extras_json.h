/* The attributes mounts, secrets and network of SPEC.json. */
#ifndef LAYERVM_SPEC_EXTRAS_JSON_H
#define LAYERVM_SPEC_EXTRAS_JSON_H

#include <json-c/json.h>

#include "spec/extras.h"

/*
 * Each takes the value of an attribute, which is not null. resolve: makes a path of the spec one
 * that the program opens, from malloc; context is handed to it. Errors are ERROR_SPEC and name the
 * entry and its key, not the attribute.
 */
struct extras_paths {
	char *(*resolve)(const void *context, const char *path);
	const void *context;
};
int extras_take_mounts(struct guest_extras_spec *extras, json_object *value,
	const struct extras_paths *paths, struct error *err);
int extras_take_secrets(struct guest_extras_spec *extras, json_object *value,
	const struct extras_paths *paths, struct error *err);
int extras_take_network(struct guest_extras_spec *extras, json_object *value, struct error *err);

#endif
