#include "image/env.h"

#include <string.h>

#include "image/image.h"
#include "support/memory.h"

/* places: where in merged each key stands; a hostile base has a million of them. */
static void put(json_object *merged, json_object *places, const char *text)
{
	cleanup_free char *key = xstrndup(text, strcspn(text, "="));
	json_object *value = json_object_new_string(text);
	json_object *place;
	if (json_object_object_get_ex(places, key, &place)) {
		json_object_array_put_idx(merged, json_object_get_uint64(place), value);
		return;
	}
	json_object_object_add(
		places, key, json_object_new_uint64(json_object_array_length(merged)));
	json_object_array_add(merged, value);
}

json_object *env_merge(json_object *base, json_object *spec)
{
	json_object *merged = json_object_new_array();
	json_object *places = json_object_new_object();
	json_object *const sources[] = {base, spec};
	for (size_t s = 0; s < 2; s++) {
		size_t count = sources[s] != NULL ? json_object_array_length(sources[s]) : 0;
		for (size_t i = 0; i < count; i++)
			put(merged, places,
				json_object_get_string(json_object_array_get_idx(sources[s], i)));
	}
	json_object_put(places);
	return merged;
}

char **image_env(const struct image *base, json_object *spec_config)
{
	json_object *base_config = NULL;
	json_object *base_env = NULL;
	json_object *spec_env = NULL;
	json_object_object_get_ex(base->config, "config", &base_config);
	if (base_config != NULL)
		json_object_object_get_ex(base_config, "Env", &base_env);
	if (spec_config != NULL)
		json_object_object_get_ex(spec_config, "Env", &spec_env);
	json_object *merged = env_merge(base_env, spec_env);
	size_t count = json_object_array_length(merged);
	char **env = xcalloc(count + 1, sizeof(*env));
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(merged, i));
		/* A name alone sets nothing. */
		if (strchr(text, '=') != NULL)
			env[n++] = xstrdup(text);
	}
	json_object_put(merged);
	return env;
}

void image_env_free(char **env)
{
	for (size_t i = 0; env != NULL && env[i] != NULL; i++)
		free(env[i]);
	free(env);
}
