#include "image/choice.h"

#include <errno.h>

#include "image/json_safe.h"
#include "image/plan.h"
#include "image/summary.h"
#include "support/memory.h"

/* The bytes of names that an error lists before it breaks off. */
#define LIST_MAX 600u

static int check_name(json_object *name, const char *what, struct error *err)
{
	int r = json_expect_text(name, what, "RepoTags", ERROR_INPUT, err);
	if (r < 0 || json_object_get_string_len(name) != 0)
		return r;
	return error_set(err, ERROR_INPUT, EINVAL, "%s: RepoTags: a name is empty", what);
}

static int check_image(json_object *image, const char *what, struct error *err)
{
	json_object *names = NULL;
	int r = json_expect(image, json_type_object, what, "image", ERROR_INPUT, err);
	if (r == 0)
		r = json_get(image, "RepoTags", json_type_array, what, ERROR_INPUT, &names, err);
	if (r < 0 || names == NULL)
		return r;
	for (size_t i = 0; r == 0 && i < json_object_array_length(names); i++)
		r = check_name(json_object_array_get_idx(names, i), what, err);
	return r;
}

int choice_check(json_object *images, const char *what, struct error *err)
{
	size_t count = json_object_array_length(images);
	int r = 0;
	if (count == 0)
		return error_set(err, ERROR_INPUT, EINVAL, "%s: lists no image", what);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = check_image(json_object_array_get_idx(images, i), what, err);
	return r;
}

const char *choice_name(json_object *image, size_t n)
{
	json_object *names = NULL;
	json_object_object_get_ex(image, "RepoTags", &names);
	if (names == NULL || n >= json_object_array_length(names))
		return NULL;
	return json_object_get_string(json_object_array_get_idx(names, n));
}

int choice_add_names(json_object *image, struct image_list *list, struct image_summary *summary,
	const char *path, struct error *err)
{
	const char *name;
	int r = 0;
	for (size_t n = 0; r == 0 && (name = choice_name(image, n)) != NULL; n++)
		r = summary_add_name(list, summary, path, name, err);
	return r;
}

static int no_such_name(
	json_object *images, const char *path, const char *wanted, struct error *err)
{
	cleanup_buffer struct buffer names = {0};
	for (size_t i = 0; i < json_object_array_length(images); i++) {
		json_object *image = json_object_array_get_idx(images, i);
		const char *name = choice_name(image, 0);
		if (name == NULL)
			buffer_add_text(&names, ", one without a name");
		for (size_t n = 0; name != NULL && names.len < LIST_MAX; n++) {
			buffer_printf(&names, ", %s", name);
			name = choice_name(image, n + 1);
		}
		if (names.len >= LIST_MAX) {
			buffer_add_text(&names, ", ...");
			break;
		}
	}
	cleanup_free char *list = buffer_steal_text(&names);
	return error_set(err, ERROR_INPUT, ENOENT, "%s: has no image %s; there are: %s", path,
		wanted, list + 2);
}

int choice_make(json_object *images, const char *path, const struct image_options *options,
	json_object **image, const char **name, struct error *err)
{
	size_t count = json_object_array_length(images);
	cleanup_free char *wanted = plan_wanted_name(options);
	if (wanted == NULL) {
		*image = json_object_array_get_idx(images, 0);
		*name = choice_name(*image, 0);
		if (count > 1 && options->report != NULL)
			report_note(options->report, "%s: has %zu images; takes the first, %s",
				path, count, *name != NULL ? *name : "which has no name");
		return 0;
	}
	unsigned best = 0;
	for (size_t i = 0; i < count; i++) {
		json_object *candidate = json_object_array_get_idx(images, i);
		const char *own;
		for (size_t n = 0; (own = choice_name(candidate, n)) != NULL; n++) {
			unsigned fit = plan_name_fit(own, wanted);
			if (fit > best) {
				best = fit;
				*image = candidate;
				*name = own;
			}
		}
	}
	return best > 0 ? 0 : no_such_name(images, path, wanted, err);
}
