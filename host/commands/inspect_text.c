#include <string.h>

#include "commands/inspect_print.h"
#include "commands/quoted.h"
#include "commands/size_text.h"

static const char *layout_words(enum image_layout layout)
{
	switch (layout) {
	case IMAGE_LAYOUT_DOCKER:
		return "docker archive";
	case IMAGE_LAYOUT_OCI:
		return "OCI layout";
	case IMAGE_LAYOUT_DIR:
		return "dir: of skopeo";
	case IMAGE_LAYOUT_LEGACY:
		return "docker archive of before 1.10";
	case IMAGE_LAYOUT_ROOTFS:
		return "root file system tar";
	}
	return "unknown";
}

static void put_platform(FILE *out, const char *os, const char *architecture, const char *variant)
{
	quoted_put(out, os != NULL ? os : "linux");
	fputc('/', out);
	quoted_put(out, architecture != NULL ? architecture : "?");
	if (variant != NULL) {
		fputc('/', out);
		quoted_put(out, variant);
	}
}

static void put_summary(FILE *out, const struct image_summary *image)
{
	fputs("  ", out);
	put_platform(out, image->os, image->architecture, image->variant);
	if (image->is_missing) {
		fputs("  not in the source", out);
	} else {
		fprintf(out, "  %zu layer%s  ", image->layer_count,
			image->layer_count == 1 ? "" : "s");
		size_put(out, image->size);
	}
	if (image->is_attestation)
		fputs("  attestation", out);
	if (image->digest != NULL) {
		fputs("  ", out);
		quoted_put(out, image->digest);
	}
	fputc('\n', out);
	for (char **name = image->names; name != NULL && *name != NULL; name++) {
		fputs("    ", out);
		quoted_put(out, *name);
		fputc('\n', out);
	}
}

void inspect_print_list(const struct image_list *list, FILE *out)
{
	fprintf(out, "%s, %zu image%s\n", layout_words(list->layout), list->count,
		list->count == 1 ? "" : "s");
	for (size_t i = 0; i < list->count; i++)
		put_summary(out, &list->images[i]);
}

static const char *text_of(json_object *object, const char *key)
{
	json_object *value = NULL;
	if (!json_object_object_get_ex(object, key, &value) ||
		!json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

static void put_layers(FILE *out, const struct image *image)
{
	char text[DIGEST_TEXT_SIZE];
	fprintf(out, "Layers: %zu, lowest first\n", image->layer_count);
	for (size_t i = 0; i < image->layer_count; i++) {
		const struct image_layer *layer = &image->layers[i];
		const char *kind = strrchr(layer->media_type, '.');
		fprintf(out, "  %3zu  ", i + 1);
		size_put(out, layer->blob_size);
		fprintf(out, "  %s  %s\n", kind != NULL ? kind + 1 : layer->media_type,
			digest_text(&layer->digest, text));
		if (digest_equal(&layer->digest, &layer->diff_id))
			continue;
		fputs("       ", out);
		size_put(out, layer->tar_size);
		fprintf(out, "  as its tar, diff ID %s\n", digest_text(&layer->diff_id, text));
	}
}

/* A value of the config: text as it is, all else as JSON, which has no control characters. */
static void put_value(FILE *out, const char *key, json_object *value)
{
	fputs("  ", out);
	quoted_put(out, key);
	fputs(": ", out);
	quoted_put(
		out, json_object_is_type(value, json_type_string)
			     ? json_object_get_string(value)
			     : json_object_to_json_string_ext(value,
				       JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
	fputc('\n', out);
}

/* Docker writes all keys it has, most of them empty. */
static bool says_something(json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_null:
		return false;
	case json_type_boolean:
		return json_object_get_boolean(value);
	case json_type_string:
		return json_object_get_string_len(value) != 0;
	case json_type_array:
		return json_object_array_length(value) != 0;
	case json_type_object:
		return json_object_object_length(value) != 0;
	default:
		return true;
	}
}

static void put_config(FILE *out, json_object *document)
{
	json_object *config = NULL;
	if (!json_object_object_get_ex(document, "config", &config) ||
		!json_object_is_type(config, json_type_object) ||
		json_object_object_length(config) == 0) {
		fputs("Config: empty\n", out);
		return;
	}
	fputs("Config:\n", out);
	json_object_object_foreach(config, key, value)
	{
		if (says_something(value))
			put_value(out, key, value);
	}
}

void inspect_print_image(const struct image *image, FILE *out)
{
	const char *created = text_of(image->config, "created");
	fputs("\nImage: ", out);
	quoted_put(out, image->name != NULL ? image->name : "without a name");
	fputs("\nPlatform: ", out);
	put_platform(out, text_of(image->config, "os"), text_of(image->config, "architecture"),
		text_of(image->config, "variant"));
	fputs("\nCreated: ", out);
	quoted_put(out, created != NULL ? created : "unknown");
	fputc('\n', out);
	put_layers(out, image);
	put_config(out, image->config);
}
