#include "image/config_merge.h"

#include <stdbool.h>
#include <string.h>

#include "image/env.h"

/* What becomes of a key of the base's `config`. */
enum rule {
	REPLACED,  /* kept, unless the spec has the key */
	VARIABLES, /* kept, and the spec's variables take the place of those of their names */
	UNITED,    /* kept, and the spec's keys come to it; of equal ones the spec's value counts */
	COMMAND,   /* as REPLACED, and dropped where the spec has another Entrypoint */
	DROPPED,   /* not passed on; the spec's is taken */
};

/*
 * All keys of config.md and of the Docker Image Specification v1.3.0, as the instructions of a
 * Dockerfile after FROM treat them. Other keys are REPLACED.
 */
static const struct {
	const char *key;
	enum rule rule;
} rules[] = {
	{"ArgsEscaped", REPLACED}, /* of Windows; runtimes on Linux do not look at it */
	{"Cmd", COMMAND},          /* the base's command is made for the base's entry point */
	{"CpuShares", REPLACED}, {"Entrypoint", REPLACED}, {"Env", VARIABLES},
	{"ExposedPorts", UNITED},
	{"Healthcheck", REPLACED}, /* as a whole: HEALTHCHECK sets all of it */
	{"Image", DROPPED},        /* the image that the base itself was built from */
	{"Labels", UNITED}, {"Memory", REPLACED}, {"MemorySwap", REPLACED},
	{"OnBuild", DROPPED}, /* triggers are for the build on the base, and not for further ones */
	{"Shell", REPLACED}, {"StopSignal", REPLACED}, {"User", REPLACED}, {"Volumes", UNITED},
	{"WorkingDir", REPLACED}, /* a relative path is not joined to the base's */
};

static enum rule rule_of(const char *key)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (strcmp(rules[i].key, key) == 0)
			return rules[i].rule;
	}
	return REPLACED;
}

static json_object *unite(json_object *base, json_object *spec)
{
	json_object *united = json_object_new_object();
	json_object *const sources[] = {base, spec};
	for (size_t i = 0; i < 2; i++) {
		if (sources[i] == NULL)
			continue;
		json_object_object_foreach(sources[i], key, value)
			json_object_object_add(united, key, json_object_get(value));
	}
	return united;
}

static json_object *merge_value(enum rule rule, json_object *base, json_object *spec)
{
	if (rule == VARIABLES)
		return env_merge(base, spec);
	return rule == UNITED ? unite(base, spec) : json_object_get(spec);
}

static json_object *get(json_object *object, const char *key)
{
	json_object *value = NULL;
	if (object != NULL)
		json_object_object_get_ex(object, key, &value);
	return value;
}

json_object *config_merge(json_object *base, json_object *spec)
{
	json_object *merged = json_object_new_object();
	bool has_entrypoint = get(spec, "Entrypoint") != NULL;
	if (base != NULL) {
		json_object_object_foreach(base, key, value)
		{
			enum rule rule = rule_of(key);
			if (rule != DROPPED && !(rule == COMMAND && has_entrypoint))
				json_object_object_add(merged, key, json_object_get(value));
		}
	}
	if (spec == NULL)
		return merged;
	json_object_object_foreach(spec, name, given)
	{
		/* null is as if the key were not there. */
		if (given != NULL)
			json_object_object_add(
				merged, name, merge_value(rule_of(name), get(base, name), given));
	}
	return merged;
}
