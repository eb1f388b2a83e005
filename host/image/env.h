/* The environment of an image config: "KEY=VALUE" strings in order, merged by key. */
#ifndef LAYERVM_IMAGE_ENV_H
#define LAYERVM_IMAGE_ENV_H

#include <json-c/json.h>

/*
 * A new array: the base's strings in their order, those whose key the spec has too replaced in
 * place, then the spec's other ones. Of a key that comes twice in one of them the last value
 * counts. Either may be NULL; both are arrays of strings.
 */
json_object *env_merge(json_object *base, json_object *spec);

#endif
