/*
 * What docker save wrote before Docker 1.10 (Docker Image Specification v1.0): `repositories`
 * gives names to layers, and each layer is a folder ID/ with layer.tar and json, which names the
 * layer's parent and holds the configuration of the image that it is the top of.
 */
#include <errno.h>
#include <string.h>

#include "image/choice.h"
#include "image/config_check.h"
#include "image/json_safe.h"
#include "image/manifests.h"
#include "support/memory.h"

/* Keys of the json that are no part of a config document. */
static const char *const link_keys[] = {
	"id", "parent", "layer_id", "parent_id", "Size", "throwaway"};

/* A layer of the chain, top first. */
struct link {
	char *id;
	json_object *json;
};

struct chain {
	struct link *links;
	size_t count, capacity;
};

static void chain_free(struct chain *chain)
{
	for (size_t i = 0; i < chain->count; i++) {
		free(chain->links[i].id);
		json_object_put(chain->links[i].json);
	}
	free(chain->links);
}

/* The image with that top layer among the images so far, or a new one. */
static json_object *image_of(json_object *images, json_object *by_id, const char *id)
{
	json_object *image = NULL;
	if (json_object_object_get_ex(by_id, id, &image))
		return image;
	image = json_object_new_object();
	json_object_object_add(image, "Id", json_object_new_string(id));
	json_object_object_add(image, "RepoTags", json_object_new_array());
	json_object_array_add(images, image);
	json_object_object_add(by_id, id, json_object_get(image));
	return image;
}

static int add_repository(json_object *images, json_object *by_id, const char *repository,
	json_object *tags, const char *what, struct error *err)
{
	int r = json_expect(tags, json_type_object, what, repository, ERROR_INPUT, err);
	if (r < 0)
		return r;
	json_object_object_foreach(tags, tag, value)
	{
		r = json_expect_text(value, what, tag, ERROR_INPUT, err);
		if (r == 0 && (*repository == '\0' || *tag == '\0'))
			r = error_set(
				err, ERROR_INPUT, EINVAL, "%s: a name or a tag is empty", what);
		if (r == 0 && json_object_get_string_len(value) == 0)
			r = error_set(err, ERROR_INPUT, EINVAL, "%s: %s: the layer's ID is empty",
				what, tag);
		if (r < 0)
			return r;
		json_object *image = image_of(images, by_id, json_object_get_string(value));
		cleanup_free char *name = xasprintf("%s:%s", repository, tag);
		json_object_array_add(
			json_object_object_get(image, "RepoTags"), json_object_new_string(name));
	}
	return 0;
}

/* `repositories` as an array of images, each with its Id and RepoTags. */
static int read_repositories(
	struct store *store, const char *what, json_object **out, struct error *err)
{
	cleanup_json json_object *repositories = NULL;
	cleanup_json json_object *images = json_object_new_array();
	cleanup_json json_object *by_id = json_object_new_object();
	int r = json_read_document(
		store, "repositories", json_type_object, what, &repositories, err);
	if (r < 0)
		return r;
	json_object_object_foreach(repositories, repository, tags)
	{
		r = add_repository(images, by_id, repository, tags, what, err);
		if (r < 0)
			return r;
	}
	r = choice_check(images, what, err);
	if (r == 0)
		*out = steal_ptr(&images);
	return r;
}

/* Adds a layer to the chain; *parent is the next one's ID, borrowed, or NULL at the lowest. */
static int add_link(struct chain *chain, struct store *store, const char *id, const char **parent,
	struct error *err)
{
	cleanup_json json_object *json = NULL;
	cleanup_free char *name = xasprintf("%s/json", id);
	cleanup_free char *what = xasprintf("%s: %s", store->path, name);
	json_object *value = NULL;
	for (size_t i = 0; i < chain->count; i++) {
		if (strcmp(chain->links[i].id, id) == 0)
			return error_set(err, ERROR_INPUT, ELOOP,
				"%s: layer %s is among its own parents", store->path, id);
	}
	int r = json_read_document(store, name, json_type_object, what, &json, err);
	if (r == 0)
		r = json_get(json, "parent", json_type_string, what, ERROR_INPUT, &value, err);
	if (r < 0)
		return r;
	*parent = json_object_get_string(value);
	if (*parent != NULL && **parent == '\0')
		*parent = NULL;
	chain->links =
		array_grow(chain->links, chain->count, &chain->capacity, sizeof(*chain->links));
	chain->links[chain->count++] = (struct link){.id = xstrdup(id), .json = steal_ptr(&json)};
	return 0;
}

static void copy_key(json_object *from, const char *key, json_object *to, const char *new_key)
{
	json_object *value = NULL;
	if (json_object_object_get_ex(from, key, &value) && value != NULL)
		json_object_object_add(to, new_key, json_object_get(value));
}

/* The words of a command, parted by blanks, as docker history shows them. */
static void add_command(json_object *json, json_object *entry)
{
	json_object *config = NULL;
	json_object *words = NULL;
	cleanup_buffer struct buffer line = {0};
	json_object_object_get_ex(json, "container_config", &config);
	if (!json_object_is_type(config, json_type_object) ||
		!json_object_object_get_ex(config, "Cmd", &words) ||
		!json_object_is_type(words, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(words); i++) {
		json_object *word = json_object_array_get_idx(words, i);
		if (json_object_is_type(word, json_type_string))
			buffer_printf(&line, "%s%s", line.len > 0 ? " " : "",
				json_object_get_string(word));
	}
	cleanup_free char *text = buffer_steal_text(&line);
	json_object_object_add(entry, "created_by", json_object_new_string(text));
}

/* The config document of image-spec config.md, but for rootfs, which is known with the layers. */
static json_object *make_config(const struct chain *chain)
{
	json_object *top = chain->links[0].json;
	json_object *config = json_object_new_object();
	json_object *history = json_object_new_array();
	json_object_object_foreach(top, key, value)
	{
		if (value != NULL)
			json_object_object_add(config, key, json_object_get(value));
	}
	for (size_t i = 0; i < sizeof(link_keys) / sizeof(link_keys[0]); i++)
		json_object_object_del(config, link_keys[i]);
	for (size_t i = chain->count; i > 0; i--) {
		json_object *json = chain->links[i - 1].json;
		json_object *entry = json_object_new_object();
		copy_key(json, "created", entry, "created");
		copy_key(json, "author", entry, "author");
		copy_key(json, "comment", entry, "comment");
		add_command(json, entry);
		json_object_array_add(history, entry);
	}
	json_object_object_add(config, "history", history);
	return config;
}

static int plan_image(struct store *store, json_object *image, struct plan *plan, struct error *err)
{
	struct chain chain __attribute__((cleanup(chain_free))) = {0};
	json_object *value = NULL;
	json_object_object_get_ex(image, "Id", &value);
	const char *id = json_object_get_string(value);
	cleanup_free char *what = xasprintf("%s: %s/json", store->path, id);
	int r = add_link(&chain, store, id, &id, err);
	while (r == 0 && id != NULL && chain.count <= PLAN_LAYERS_MAX)
		r = add_link(&chain, store, id, &id, err);
	for (size_t i = chain.count; r == 0 && i > 0; i--) {
		cleanup_free char *name = xasprintf("%s/layer.tar", chain.links[i - 1].id);
		r = plan_add_layer(plan, store, name, name, NULL, err);
	}
	if (r < 0)
		return r;
	plan->config = make_config(&chain);
	plan->lacks_diff_ids = true;
	return config_check_legacy(plan->config, what, err);
}

int legacy_plan(struct store *store, const struct image_options *options, struct plan *plan,
	struct error *err)
{
	cleanup_json json_object *images = NULL;
	json_object *image = NULL;
	const char *name = NULL;
	cleanup_free char *what = xasprintf("%s: repositories", store->path);
	int r = read_repositories(store, what, &images, err);
	if (r == 0)
		r = choice_make(images, store->path, options, &image, &name, err);
	if (r < 0)
		return r;
	if (name != NULL)
		plan->name = xstrdup(name);
	return plan_image(store, image, plan, err);
}

static int list_image(
	struct store *store, json_object *image, struct image_list *list, struct error *err)
{
	cleanup_plan struct plan plan = {0};
	struct image_summary *summary = NULL;
	const char *id = json_object_get_string(json_object_object_get(image, "Id"));
	int r = plan_image(store, image, &plan, err);
	if (r == 0)
		r = summary_add(list, store->path, id, &summary, err);
	if (r < 0)
		return r;
	summary_set_plan(summary, &plan);
	return choice_add_names(image, list, summary, store->path, err);
}

int legacy_list(struct store *store, struct image_list *list, struct error *err)
{
	cleanup_json json_object *images = NULL;
	cleanup_free char *what = xasprintf("%s: repositories", store->path);
	int r = read_repositories(store, what, &images, err);
	for (size_t i = 0; r == 0 && i < json_object_array_length(images); i++)
		r = list_image(store, json_object_array_get_idx(images, i), list, err);
	return r;
}
