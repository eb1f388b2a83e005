#include "image/summary.h"

#include <errno.h>
#include <string.h>

#include "support/interrupt.h"
#include "support/memory.h"

static void free_summary(struct image_summary *summary)
{
	for (char **name = summary->names; *name != NULL; name++)
		free(*name);
	free(summary->names);
	free(summary->digest);
	free(summary->os);
	free(summary->architecture);
	free(summary->variant);
}

void image_list_free(struct image_list *list)
{
	if (list == NULL)
		return;
	for (size_t i = 0; i < list->count; i++)
		free_summary(&list->images[i]);
	free(list->images);
	free(list);
}

struct image_summary *summary_find(struct image_list *list, const char *digest)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->images[i].digest, digest) == 0)
			return &list->images[i];
	}
	return NULL;
}

static struct image_summary *append(struct image_list *list)
{
	list->images = xrealloc(list->images, list->count + 1, sizeof(*list->images));
	struct image_summary *summary = &list->images[list->count++];
	*summary = (struct image_summary){.names = xcalloc(1, sizeof(*summary->names))};
	return summary;
}

void summary_add_rootfs(struct image_list *list, uint64_t size)
{
	struct image_summary *summary = append(list);
	summary->layer_count = 1;
	summary->size = size;
}

int summary_add(struct image_list *list, const char *path, const char *digest,
	struct image_summary **out, struct error *err)
{
	int r = interrupt_check(err);
	if (r < 0)
		return r;
	if (list->count == SUMMARIES_MAX)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"%s: has more images than the limit of %u", path, SUMMARIES_MAX);
	*out = append(list);
	(*out)->digest = xstrdup(digest);
	return 0;
}

int summary_add_name(struct image_list *list, struct image_summary *summary, const char *path,
	const char *name, struct error *err)
{
	size_t count = summary->name_count;
	if (name == NULL || (count > 0 && strcmp(summary->names[count - 1], name) == 0))
		return 0;
	size_t bytes = strlen(name) + sizeof(name);
	if (bytes > SUMMARY_NAMES_MAX - list->name_bytes)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"%s: its images' names take more than the limit of %zu bytes", path,
			SUMMARY_NAMES_MAX);
	list->name_bytes += bytes;
	/* There is room up to a power of two, the NULL included. */
	if ((count & (count + 1)) == 0)
		summary->names = xrealloc(summary->names, 2 * (count + 1), sizeof(*summary->names));
	summary->names[count] = xstrdup(name);
	summary->names[count + 1] = NULL;
	summary->name_count++;
	return 0;
}

static void set_if_new(char **to, const char *text)
{
	if (*to == NULL && text != NULL)
		*to = xstrdup(text);
}

void summary_set_plan(struct image_summary *summary, const struct plan *plan)
{
	summary->layer_count = plan->layer_count;
	summary->size = 0;
	for (size_t i = 0; i < plan->layer_count; i++) {
		if (__builtin_add_overflow(
			    summary->size, plan->layers[i].extent.size, &summary->size))
			summary->size = UINT64_MAX;
	}
	set_if_new(&summary->os, plan_platform(plan, "os"));
	set_if_new(&summary->architecture, plan_platform(plan, "architecture"));
	set_if_new(&summary->variant, plan_platform(plan, "variant"));
}
