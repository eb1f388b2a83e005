#include "image/rootfs.h"

#include <errno.h>
#include <string.h>

#include "support/memory.h"

/* Whether the archive has the member FOLDER/NAME, of len bytes of folder. */
static bool has_inside(
	const struct archive_index *index, const char *folder, size_t len, const char *name)
{
	cleanup_free char *path = xasprintf("%.*s/%s", (int)len, folder, name);
	const struct member *member = index_find(index, path);
	return member != NULL && member->is_file;
}

/* An image archive that was packed with the folder around it is a root file system by its form. */
static void warn_folder(const struct store *store, struct report *report)
{
	static const char *const marks[] = {"manifest.json", "index.json", "repositories"};
	const struct archive_index *index = &store->index;
	/* The root's own member, "./", has the empty name, which is the first. */
	size_t start = index->count > 0 && index->members[0].name[0] == '\0' ? 1 : 0;
	bool is_marked = false;
	if (report == NULL || start == index->count)
		return;
	const char *first = index->members[start].name;
	size_t len = strcspn(first, "/");
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		is_marked = is_marked || has_inside(index, first, len, marks[i]);
	for (size_t i = start; is_marked && i < index->count; i++) {
		const char *name = index->members[i].name;
		is_marked = strcspn(name, "/") == len && memcmp(name, first, len) == 0;
	}
	if (is_marked)
		report_warning(report,
			"%s: is taken for a root file system, but looks like an image archive in a "
			"folder; tar -C %.*s -cf FILE . packs it without the folder",
			store->path, (int)len, first);
}

int rootfs_plan(struct store *store, const struct image_options *options, struct plan *plan,
	struct error *err)
{
	if (!store->index.has_end)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: the tar has no end marker: it was cut short", store->path);
	warn_folder(store, options->report);
	plan->lacks_diff_ids = true;
	plan->config = json_object_new_object();
	json_object_object_add(plan->config, "config", json_object_new_object());
	json_object_object_add(plan->config, "os", json_object_new_string("linux"));
	plan->layers = xcalloc(1, sizeof(*plan->layers));
	plan->layer_count = 1;
	plan->layer_capacity = 1;
	plan->layers[0] = (struct plan_layer){
		.extent = {.fd = store->fd, .size = store->size},
		.label = xstrdup("a root file system"),
	};
	return 0;
}
