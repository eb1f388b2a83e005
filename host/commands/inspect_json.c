#include <string.h>

#include "commands/inspect_print.h"
#include "support/memory.h"

static const char *layout_word(enum image_layout layout)
{
	switch (layout) {
	case IMAGE_LAYOUT_DOCKER:
		return "docker";
	case IMAGE_LAYOUT_OCI:
		return "oci";
	case IMAGE_LAYOUT_DIR:
		return "dir";
	case IMAGE_LAYOUT_LEGACY:
		return "legacy";
	case IMAGE_LAYOUT_ROOTFS:
		return "rootfs";
	}
	return "unknown";
}

static json_object *text_or_null(const char *text)
{
	return text != NULL ? json_object_new_string(text) : NULL;
}

static json_object *summary_object(const struct image_summary *image)
{
	json_object *object = json_object_new_object();
	json_object *names = json_object_new_array();
	for (char **name = image->names; name != NULL && *name != NULL; name++)
		json_object_array_add(names, json_object_new_string(*name));
	json_object_object_add(object, "names", names);
	json_object_object_add(object, "digest", text_or_null(image->digest));
	json_object_object_add(object, "os", text_or_null(image->os));
	json_object_object_add(object, "architecture", text_or_null(image->architecture));
	json_object_object_add(object, "variant", text_or_null(image->variant));
	json_object_object_add(object, "layers", json_object_new_uint64(image->layer_count));
	json_object_object_add(object, "size", json_object_new_uint64(image->size));
	json_object_object_add(
		object, "attestation", json_object_new_boolean(image->is_attestation));
	json_object_object_add(object, "missing", json_object_new_boolean(image->is_missing));
	return object;
}

static json_object *layer_object(const struct image_layer *layer)
{
	char text[DIGEST_TEXT_SIZE];
	json_object *object = json_object_new_object();
	json_object_object_add(object, "mediaType", json_object_new_string(layer->media_type));
	json_object_object_add(
		object, "digest", json_object_new_string(digest_text(&layer->digest, text)));
	json_object_object_add(object, "size", json_object_new_uint64(layer->blob_size));
	json_object_object_add(
		object, "diffId", json_object_new_string(digest_text(&layer->diff_id, text)));
	json_object_object_add(object, "tarSize", json_object_new_uint64(layer->tar_size));
	return object;
}

static json_object *image_object(const struct image *image)
{
	json_object *object = json_object_new_object();
	json_object *layers = json_object_new_array();
	for (size_t i = 0; i < image->layer_count; i++)
		json_object_array_add(layers, layer_object(&image->layers[i]));
	json_object_object_add(object, "name", text_or_null(image->name));
	json_object_object_add(object, "layers", layers);
	/* The whole document, as image-spec config.md has it. */
	json_object_object_add(object, "config", json_object_get(image->config));
	return object;
}

void inspect_print_json(const struct image_list *list, const struct image *image, FILE *out)
{
	json_object *document = json_object_new_object();
	json_object *images = json_object_new_array();
	for (size_t i = 0; i < list->count; i++)
		json_object_array_add(images, summary_object(&list->images[i]));
	json_object_object_add(
		document, "layout", json_object_new_string(layout_word(list->layout)));
	json_object_object_add(document, "images", images);
	json_object_object_add(document, "image", image_object(image));
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(document, JSON_C_TO_STRING_PRETTY |
								 JSON_C_TO_STRING_SPACED |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(document);
}
