/*
 * What a source says about one image, before its layers are read: the readers of the layouts make
 * a plan, layers.h carries it out.
 */
#ifndef LAYERVM_IMAGE_PLAN_H
#define LAYERVM_IMAGE_PLAN_H

#include "image/image.h"
#include "image/store.h"

/* More layers than this are refused; overlay2 of Docker stacks 128. */
#define PLAN_LAYERS_MAX 4096u

struct plan_layer {
	struct extent extent; /* the blob */
	char *label;          /* its name in the source, for messages */
	bool has_digest;      /* the source names the blob's digest */
	struct digest digest;
	json_object *annotations; /* of the layer's descriptor: texts; NULL: none */
};

struct plan {
	json_object *config;  /* the image config document, verified and checked */
	struct digest digest; /* of its bytes */
	bool lacks_diff_ids;  /* legacy images, root file systems: no rootfs in the config yet */
	char *name;           /* "repo:tag", or NULL */
	char *os;             /* what an index says of the image, or NULL */
	char *architecture;
	struct plan_layer *layers;
	size_t layer_count;
	size_t layer_capacity;
};

void plan_free(struct plan *plan);
#define cleanup_plan __attribute__((cleanup(plan_free)))

/*
 * Reads the config document of that name into the plan and checks it. digest: what the source
 * names as its digest, or NULL.
 */
int plan_set_config(struct plan *plan, struct store *store, const char *name,
	const struct digest *digest, struct error *err);

/*
 * Checks that a path of a document leads to something within the source: an ERROR_INPUT "WHAT: KEY:
 * ..." says that it is empty, or the source's root.
 */
int plan_check_path(const char *path, const char *what, const char *key, struct error *err);

/*
 * Adds the layer whose blob has that name. label: for messages. digest: what the source names as
 * the blob's digest, or NULL.
 */
int plan_add_layer(struct plan *plan, struct store *store, const char *name, const char *label,
	const struct digest *digest, struct error *err);

/* Gives a layer the annotations of its descriptor, which are shared; NULL is allowed. */
void plan_annotate(struct plan_layer *layer, json_object *annotations);

/*
 * Which image this is for: what its config says, else what an index says, else NULL. key: "os",
 * "architecture" or "variant" (of which an index is not asked). Borrowed.
 */
const char *plan_platform(const struct plan *plan, const char *key);

/* "name:tag" that the options ask for, or NULL where they leave the choice. The caller frees. */
char *plan_wanted_name(const struct image_options *options);

/*
 * How well a name in the source fits the wanted one: 0 not at all, 1 after both were brought
 * to the full form, 2 to the letter.
 */
unsigned plan_name_fit(const char *name, const char *wanted);

#endif
