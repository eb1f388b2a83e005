/*
 * What an archive says about the chosen image, before its layers are read: the readers of the two
 * layouts make a plan, layers.h carries it out.
 */
#ifndef LAYERVM_IMAGE_PLAN_H
#define LAYERVM_IMAGE_PLAN_H

#include "image/archive_index.h"
#include "image/image.h"

/* More layers than this are refused; overlay2 of Docker stacks 128. */
#define PLAN_LAYERS_MAX 4096u

struct plan_layer {
	const struct member *member; /* of the index: the blob */
	char *label;                 /* its name in the archive, for messages */
	bool has_digest;             /* the archive names the blob's digest */
	struct digest digest;
};

struct plan {
	json_object *config; /* the image config document, verified and checked */
	char *name;          /* "repo:tag", or NULL */
	struct plan_layer *layers;
	size_t layer_count;
};

void plan_free(struct plan *plan);
#define cleanup_plan __attribute__((cleanup(plan_free)))

/* The image that the options choose of a docker archive: manifest.json. */
int plan_docker(const struct archive_index *index, const struct image_options *options,
	struct plan *plan, struct error *err);

/* The image that the options choose of an OCI image layout: index.json. */
int plan_oci(const struct archive_index *index, const struct image_options *options,
	struct plan *plan, struct error *err);

/*
 * Reads the config document from a member into the plan and checks it. digest: what the archive
 * names as its digest, or NULL.
 */
int plan_set_config(struct plan *plan, const struct archive_index *index,
	const struct member *member, const struct digest *digest, struct error *err);

/* Adds a layer. digest: what the archive names as the blob's digest, or NULL. */
int plan_add_layer(struct plan *plan, const struct archive_index *index, const char *label,
	const struct member *member, const struct digest *digest, struct error *err);

/* "name:tag" that the options ask for, or NULL where they leave the choice. The caller frees. */
char *plan_wanted_name(const struct image_options *options);

/*
 * How well a name in the archive fits the wanted one: 0 not at all, 1 after both were brought
 * to the full form, 2 to the letter.
 */
unsigned plan_name_fit(const char *name, const char *wanted);

#endif
