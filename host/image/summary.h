/* What image_source_list gives, while it is being made. */
#ifndef LAYERVM_IMAGE_SUMMARY_H
#define LAYERVM_IMAGE_SUMMARY_H

#include <stdbool.h>

#include "image/image.h"
#include "image/plan.h"

/* More images than this are not listed, nor names of more bytes in all. */
#define SUMMARIES_MAX 10000u
#define SUMMARY_NAMES_MAX ((size_t)64 << 20)

/* The summary with that digest, or NULL. Valid until the next summary_add. */
struct image_summary *summary_find(struct image_list *list, const char *digest);

/* Adds a summary with that digest, which is copied. path: of the source, for messages. */
int summary_add(struct image_list *list, const char *path, const char *digest,
	struct image_summary **out, struct error *err);

/* Adds the one image of a root file system tar of size bytes: nothing else is known of it. */
void summary_add_rootfs(struct image_list *list, uint64_t size);

/* Adds a name, unless it is the last one already or NULL. */
int summary_add_name(struct image_list *list, struct image_summary *summary, const char *path,
	const char *name, struct error *err);

/* Fills in what a plan knows: layers and their size, and the platform where it is not known. */
void summary_set_plan(struct image_summary *summary, const struct plan *plan);

#endif
