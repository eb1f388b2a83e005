#include "image/plan.h"

#include <errno.h>
#include <string.h>

#include "image/config_check.h"
#include "image/json_safe.h"
#include "image/reference.h"
#include "support/memory.h"

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->layer_count; i++)
		free(plan->layers[i].label);
	free(plan->layers);
	free(plan->name);
	json_object_put(plan->config);
	*plan = (struct plan){0};
}

int plan_set_config(struct plan *plan, const struct archive_index *index,
	const struct member *member, const struct digest *digest, struct error *err)
{
	cleanup_buffer struct buffer text = {0};
	cleanup_free char *what = xasprintf("%s: image config %s", index->path, member->name);
	int r = json_read_member(index, member, what, &text, err);
	if (r < 0)
		return r;
	struct digest found = digest_of(text.data, text.len);
	if (digest != NULL && !digest_equal(digest, &found)) {
		char expected_text[DIGEST_TEXT_SIZE];
		char found_text[DIGEST_TEXT_SIZE];
		return error_set(err, ERROR_INPUT, EINVAL, "%s: expected the digest %s, found %s",
			what, digest_text(digest, expected_text), digest_text(&found, found_text));
	}
	r = json_parse(text.data, text.len, what, &plan->config, err);
	if (r < 0)
		return r;
	return config_check_document(plan->config, what, err);
}

int plan_add_layer(struct plan *plan, const struct archive_index *index, const char *label,
	const struct member *member, const struct digest *digest, struct error *err)
{
	if (plan->layer_count == PLAN_LAYERS_MAX)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"%s: the image has more layers than the limit of %u", index->path,
			PLAN_LAYERS_MAX);
	plan->layers = xrealloc(plan->layers, plan->layer_count + 1, sizeof(*plan->layers));
	struct plan_layer *layer = &plan->layers[plan->layer_count++];
	*layer = (struct plan_layer){.member = member, .label = xstrdup(label)};
	if (digest != NULL) {
		layer->has_digest = true;
		layer->digest = *digest;
	}
	return 0;
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
