/* The config document of the new image: what FROM inherits, what the spec says, its history. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "image/config_check.h"
#include "image/config_merge.h"
#include "image/diff_ids.h"
#include "image/image.h"
#include "image/json_safe.h"
#include "support/memory.h"

#define NO_HISTORY "history missing in the base image"
#define ROOTFS_HISTORY "imported from a root file system tar"

/* The bytes of triggers that image_triggers gives before it breaks off. */
#define TRIGGERS_MAX 300u

/*
 * Keys of the base's document that do not go on: those that are made anew, and those that tell of
 * the container or the build which the base came from.
 */
static const char *const dropped_keys[] = {
	/* Made anew; the variant is kept for the same architecture. */
	"config",
	"created",
	"architecture",
	"os",
	"rootfs",
	"history",
	"variant",
	/* The container that was committed. */
	"container",
	"container_config",
	"docker_version",
	/* Links of the image format before Docker 1.10. */
	"id",
	"parent",
	"throwaway",
	/* How BuildKit made the base. */
	"moby.buildkit.buildinfo.v1",
	"moby.buildkit.cache.v0",
};

static bool is_listed(const char *key, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i], key) == 0)
			return true;
	}
	return false;
}
#define IS_LISTED(key, list) is_listed(key, list, sizeof(list) / sizeof((list)[0]))

static json_object *get(json_object *object, const char *key)
{
	json_object *value = NULL;
	if (object != NULL)
		json_object_object_get_ex(object, key, &value);
	return value;
}

static void add_text(json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

/* RFC 3339 in UTC, which has years of four digits. */
static int format_time(int64_t seconds, char *text, size_t size, struct error *err)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	if (gmtime_r(&t, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
		return error_set(err, ERROR_SPEC, ERANGE,
			"created: %lld seconds since 1970 are outside of the years 0 to 9999",
			(long long)seconds);
	char date[32];
	strftime(date, sizeof(date), "%m-%dT%H:%M:%SZ", &tm);
	snprintf(text, size, "%04d-%s", tm.tm_year + 1900, date);
	return 0;
}

static json_object *history_entry(
	const char *created, const char *created_by, const char *comment, bool is_empty)
{
	json_object *entry = json_object_new_object();
	add_text(entry, "created", created);
	if (created_by != NULL)
		add_text(entry, "created_by", created_by);
	if (comment != NULL)
		add_text(entry, "comment", comment);
	if (is_empty)
		json_object_object_add(entry, "empty_layer", json_object_new_boolean(true));
	return entry;
}

/* A copy of the entry that says it made no layer. */
static json_object *as_empty(json_object *entry)
{
	json_object *copy = json_object_new_object();
	json_object_object_foreach(entry, key, value)
		json_object_object_add(copy, key, json_object_get(value));
	json_object_object_add(copy, "empty_layer", json_object_new_boolean(true));
	return copy;
}

/*
 * The base's history, brought into line with its layers, which readers rely on: entries beyond
 * the last layer become empty ones, layers without an entry get one.
 */
static json_object *base_history(const struct image *base, const char *created)
{
	json_object *history = json_object_new_array();
	json_object *old = get(base->config, "history");
	size_t count = old != NULL ? json_object_array_length(old) : 0;
	size_t layers = 0;
	for (size_t i = 0; i < count; i++) {
		json_object *entry = json_object_array_get_idx(old, i);
		bool is_empty = json_object_get_boolean(get(entry, "empty_layer"));
		if (!is_empty && layers == base->layer_count) {
			json_object_array_add(history, as_empty(entry));
			continue;
		}
		if (!is_empty)
			layers++;
		json_object_array_add(history, json_object_get(entry));
	}
	const char *comment = base->from_rootfs ? ROOTFS_HISTORY : NO_HISTORY;
	for (; layers < base->layer_count; layers++)
		json_object_array_add(history, history_entry(created, NULL, comment, false));
	return history;
}

static json_object *make_history(
	const struct image *base, const struct image_write_options *options, const char *created)
{
	json_object *history = base_history(base, created);
	const struct image_new_layer *layer = options->layer;
	json_object_array_add(
		history, history_entry(created, layer != NULL ? layer->created_by : "layervm build",
				 NULL, layer == NULL));
	return history;
}

int image_make_config(const struct image *base, const struct image_write_options *options,
	json_object **out, struct error *err)
{
	char created[64];
	const struct image_new_layer *layer = options->layer;
	int r = format_time(options->created, created, sizeof(created), err);
	if (r == 0)
		r = config_check_part(options->config, "config", ERROR_SPEC, err);
	if (r < 0)
		return r;
	cleanup_json json_object *document = json_object_new_object();
	json_object_object_foreach(base->config, key, value)
	{
		if (!IS_LISTED(key, dropped_keys))
			json_object_object_add(document, key, json_object_get(value));
	}
	const char *architecture = json_object_get_string(get(base->config, "architecture"));
	json_object *variant = get(base->config, "variant");
	if (variant != NULL && architecture != NULL &&
		strcmp(architecture, options->architecture) == 0)
		json_object_object_add(document, "variant", json_object_get(variant));
	add_text(document, "architecture", options->architecture);
	add_text(document, "created", created);
	add_text(document, "os", "linux");
	json_object_object_add(
		document, "config", config_merge(get(base->config, "config"), options->config));
	json_object_object_add(document, "history", make_history(base, options, created));
	json_object_object_add(document, "rootfs",
		diff_ids_rootfs(
			base->layers, base->layer_count, layer != NULL ? &layer->diff_id : NULL));
	if (!json_sorted(document, out))
		return error_set(err, ERROR_SPEC, EINVAL,
			"config: is nested deeper than the limit of %d", JSON_DEPTH_MAX);
	return 0;
}

char *image_triggers(const struct image *base)
{
	cleanup_buffer struct buffer text = {0};
	json_object *list = get(get(base->config, "config"), "OnBuild");
	size_t count = list != NULL ? json_object_array_length(list) : 0;
	if (count == 0)
		return NULL;
	for (size_t i = 0; i < count && text.len < TRIGGERS_MAX; i++)
		buffer_printf(&text, "%s%s", i > 0 ? "; " : "",
			json_object_get_string(json_object_array_get_idx(list, i)));
	if (text.len > TRIGGERS_MAX) {
		text.len = TRIGGERS_MAX;
		/* Not within a character. */
		while ((text.data[text.len] & 0xc0) == 0x80)
			text.len--;
		buffer_add_text(&text, "...");
	}
	return buffer_steal_text(&text);
}

struct digest image_config_digest(json_object *config)
{
	cleanup_buffer struct buffer text = {0};
	json_put_text(config, &text);
	return digest_of(text.data, text.len);
}
