/* One image of an array of objects, each with its names in RepoTags: docker save's two layouts. */
#ifndef LAYERVM_IMAGE_CHOICE_H
#define LAYERVM_IMAGE_CHOICE_H

#include <json-c/json.h>
#include <stddef.h>

#include "image/image.h"

/* Checks that images is an array of one object or more, RepoTags strings where there are any. */
int choice_check(json_object *images, const char *what, struct error *err);

/* The n-th name of an image, or NULL. */
const char *choice_name(json_object *image, size_t n);

/* Adds all names of an image to its summary. */
int choice_add_names(json_object *image, struct image_list *list, struct image_summary *summary,
	const char *path, struct error *err);

/*
 * Takes the image with the name that fits best, and that name; the first one where none is wanted,
 * and says so where there are several. path: for messages. *image and *name are borrowed; *name may
 * be NULL.
 */
int choice_make(json_object *images, const char *path, const struct image_options *options,
	json_object **image, const char **name, struct error *err);

#endif
