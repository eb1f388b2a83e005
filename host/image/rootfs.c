#include "image/rootfs.h"

#include <errno.h>

#include "support/memory.h"

int rootfs_plan(struct store *store, const struct image_options *options, struct plan *plan,
	struct error *err)
{
	(void)options;
	if (!store->index.has_end)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: the tar has no end marker: it was cut short", store->path);
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
