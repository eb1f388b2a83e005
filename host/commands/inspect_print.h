/* What is known of the images of a source, for people and for programs. */
#ifndef LAYERVM_COMMANDS_INSPECT_PRINT_H
#define LAYERVM_COMMANDS_INSPECT_PRINT_H

#include <stdio.h>

#include "image/image.h"

/* Text: the images of the source, a line each. */
void inspect_print_list(const struct image_list *list, FILE *out);

/* Text: one image in full. */
void inspect_print_image(const struct image *image, FILE *out);

/* Both as the JSON document of layervm-inspect(1). */
void inspect_print_json(const struct image_list *list, const struct image *image, FILE *out);

#endif
