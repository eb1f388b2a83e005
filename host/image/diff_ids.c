#include "image/diff_ids.h"

#include "support/memory.h"

struct digest *diff_ids_read(json_object *config, size_t *count)
{
	json_object *rootfs = NULL;
	json_object *ids = NULL;
	json_object_object_get_ex(config, "rootfs", &rootfs);
	json_object_object_get_ex(rootfs, "diff_ids", &ids);
	*count = ids != NULL ? json_object_array_length(ids) : 0;
	struct digest *digests = xcalloc(*count, sizeof(*digests));
	for (size_t i = 0; i < *count; i++)
		digest_parse(
			&digests[i], json_object_get_string(json_object_array_get_idx(ids, i)));
	return digests;
}

static void add(json_object *ids, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];
	json_object_array_add(ids, json_object_new_string(digest_text(digest, text)));
}

json_object *diff_ids_rootfs(
	const struct image_layer *layers, size_t count, const struct digest *last)
{
	json_object *ids = json_object_new_array();
	for (size_t i = 0; i < count; i++)
		add(ids, &layers[i].diff_id);
	if (last != NULL)
		add(ids, last);
	json_object *rootfs = json_object_new_object();
	json_object_object_add(rootfs, "diff_ids", ids);
	json_object_object_add(rootfs, "type", json_object_new_string("layers"));
	return rootfs;
}
