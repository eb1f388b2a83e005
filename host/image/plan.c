#include "image/plan.h"

#include <errno.h>
#include <string.h>

#include "image/config_check.h"
#include "image/json_safe.h"
#include "image/member_name.h"
#include "support/memory.h"
#include "support/reference.h"

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->layer_count; i++) {
		free(plan->layers[i].label);
		json_object_put(plan->layers[i].annotations);
	}
	free(plan->layers);
	free(plan->name);
	free(plan->os);
	free(plan->architecture);
	json_object_put(plan->config);
	*plan = (struct plan){0};
}

int plan_set_config(struct plan *plan, struct store *store, const char *name,
	const struct digest *digest, struct error *err)
{
	struct extent extent;
	cleanup_buffer struct buffer text = {0};
	cleanup_free char *what = xasprintf("%s: image config %s", store->path, name);
	int r = store_find(store, name, &extent, err);
	if (r == 0)
		r = json_read_extent(store, &extent, what, &text, err);
	if (r < 0)
		return r;
	plan->digest = digest_of(text.data, text.len);
	if (digest != NULL)
		r = digest_expect(digest, &plan->digest, what, "digest", err);
	if (r == 0)
		r = json_parse(text.data, text.len, what, &plan->config, err);
	if (r == 0)
		r = config_check_document(plan->config, what, err);
	return r;
}

int plan_check_path(const char *path, const char *what, const char *key, struct error *err)
{
	cleanup_free char *normal = member_name_normalise(path);
	if (*path == '\0')
		return error_set(err, ERROR_INPUT, EINVAL, "%s: %s: the path is empty", what, key);
	if (normal != NULL && *normal == '\0')
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: %s: the path \"%s\" is that of the root, a file's is wanted", what,
			key, path);
	return 0;
}

int plan_add_layer(struct plan *plan, struct store *store, const char *name, const char *label,
	const struct digest *digest, struct error *err)
{
	struct extent extent;
	if (plan->layer_count == PLAN_LAYERS_MAX)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"%s: the image has more layers than the limit of %u", store->path,
			PLAN_LAYERS_MAX);
	int r = store_find(store, name, &extent, err);
	if (r < 0)
		return r;
	plan->layers = array_grow(
		plan->layers, plan->layer_count, &plan->layer_capacity, sizeof(*plan->layers));
	struct plan_layer *layer = &plan->layers[plan->layer_count++];
	*layer = (struct plan_layer){.extent = extent, .label = xstrdup(label)};
	if (digest != NULL) {
		layer->has_digest = true;
		layer->digest = *digest;
	}
	return 0;
}

void plan_annotate(struct plan_layer *layer, json_object *annotations)
{
	json_object_put(layer->annotations);
	layer->annotations = json_object_get(annotations);
}

const char *plan_platform(const struct plan *plan, const char *key)
{
	json_object *value = NULL;
	json_object_object_get_ex(plan->config, key, &value);
	const char *text = json_object_get_string(value);
	if (text != NULL && *text != '\0')
		return text;
	if (strcmp(key, "os") == 0)
		return plan->os;
	return strcmp(key, "architecture") == 0 ? plan->architecture : NULL;
}

char *plan_wanted_name(const struct image_options *options)
{
	if (options->name == NULL || options->tag == NULL)
		return NULL;
	return xasprintf("%s:%s", options->name, options->tag);
}

unsigned plan_name_fit(const char *name, const char *wanted)
{
	if (strcmp(name, wanted) == 0)
		return 2;
	return reference_equal(name, wanted) ? 1 : 0;
}
