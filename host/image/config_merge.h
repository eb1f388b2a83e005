/* The `config` part of an image's config document (image-spec config.md): base and spec in one. */
#ifndef LAYERVM_IMAGE_CONFIG_MERGE_H
#define LAYERVM_IMAGE_CONFIG_MERGE_H

#include <json-c/json.h>

/*
 * The `config` of an image that is built from a base, as FROM of a Dockerfile has it: the base's
 * keys with the spec's laid over them, by the table in config_merge.c. Both are checked by
 * config_check_part, or NULL where there is none. The caller owns what is returned.
 */
json_object *config_merge(json_object *base, json_object *spec) __attribute__((returns_nonnull));

#endif
