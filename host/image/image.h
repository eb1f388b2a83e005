/*
 * Image archives. image_open takes a file (docker archive, OCI layout archive or a root file
 * system tar, compressed or not), chooses an image and gives its layers as uncompressed bytes and
 * its config; image_write writes an archive in both layouts at once. Knows JSON and archives;
 * nothing of trees, disks or VMs.
 */
#ifndef LAYERVM_IMAGE_IMAGE_H
#define LAYERVM_IMAGE_IMAGE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/digest.h"
#include "support/report.h"

/*
 * A layer compressed with xz or bzip2, for which OCI has no media type, goes on as its tar: its
 * blob_ fields and its digest are those of the inflated bytes.
 */
struct image_layer {
	struct digest digest;   /* of the blob as it is in the archive */
	struct digest diff_id;  /* of the uncompressed tar; verified */
	const char *media_type; /* OCI: application/vnd.oci.image.layer.v1.tar[+gzip|+zstd|...] */
	uint64_t blob_size;     /* the blob's bytes start at blob_offset of blob_fd */
	uint64_t blob_offset;
	int blob_fd;       /* belongs to the image */
	uint64_t tar_size; /* the uncompressed tar's bytes start at tar_offset of tar_fd */
	uint64_t tar_offset;
	int tar_fd; /* belongs to the image; may be the same as blob_fd */
};

struct image {
	struct image_layer *layers; /* lowest first; two may have the same digest */
	size_t layer_count;
	json_object *config; /* the whole image config document; never NULL */
	char *name;          /* "repo:tag" chosen, or NULL */
	bool from_rootfs;    /* a plain root file system tar: config and history are made up */
	/* private to image/ */
	struct image_files *files;
};

struct image_options {
	const char *name;         /* fromImageName, or NULL */
	const char *tag;          /* fromImageTag, or NULL; only both together have an effect */
	const char *architecture; /* GOARCH, for an index of several platforms; NULL: the host's */
	struct report *report;    /* says which image was taken where several were there; or NULL */
};

/*
 * Opens an image archive. Everything is verified while it is read: the config's digest where the
 * archive names it, each layer's blob digest and diff ID, the number of layers. Compressed
 * archives and layers are inflated once to unnamed temporary files, layers in parallel.
 * path: "-" is standard input (spooled). Members are looked up by name within the archive only,
 * symlinks among them too. A name is matched to the letter first, then in the full form that
 * Docker gives it ("docker.io/library/busybox:latest"), then, where an OCI layout has bare tags,
 * by the tag. Errors are ERROR_INPUT with the path, what was found and expected; a name that is
 * not there lists the names that are. A passed cap (members, layers, inflated bytes) is an
 * ERROR_LIMIT that says the cap.
 */
int image_open(const char *path, const struct image_options *options, struct image **out,
	struct error *err);

/* An image without layers and with an empty config: FROM scratch. */
struct image *image_scratch(void) __attribute__((returns_nonnull));

void image_free(struct image *image);
static inline void cleanup_image_fn(struct image **image)
{
	image_free(*image);
}
#define cleanup_image __attribute__((cleanup(cleanup_image_fn)))

/* The chain ID of the first count layers (image-spec config.md, "Layer ChainID"). count >= 1. */
struct digest image_chain_id(const struct image *image, size_t count);

struct image_new_layer {
	int fd; /* the uncompressed tar, from offset 0; stays the caller's */
	uint64_t size;
	struct digest diff_id;
	const char *created_by; /* for its history entry */
};

struct image_write_options {
	const char *const *tags;             /* "name:tag", NULL at the end; at least one */
	const char *architecture;            /* GOARCH */
	int64_t created;                     /* seconds since 1970 */
	json_object *config;                 /* the spec's `config`, or NULL; borrowed */
	const struct image_new_layer *layer; /* NULL: no new layer, only a new config */
	enum image_compression { IMAGE_PLAIN, IMAGE_GZIP, IMAGE_ZSTD } compression;
};

struct image_written {
	struct digest image_id; /* digest of the image config */
	struct digest manifest; /* digest of the OCI manifest */
};

/*
 * The image config document for base + options, canonical bytes (the same inputs give the same):
 * `config` is inherited as FROM does: Env merged by key in the base's order, Labels merged, other
 * keys replaced by the spec's; a new Entrypoint without a new Cmd drops the base's Cmd; null is
 * as if the key were not there. Not passed on: OnBuild, config.Image, and what tells of the
 * container or the build that the base came from. Unknown keys are kept. History is kept and
 * extended, and where it does not fit the base's layers brought into line with them;
 * rootfs.diff_ids has the base's and the new layer's. Objects have their keys in byte order. The
 * image ID is the digest of the document printed with JSON_C_TO_STRING_PLAIN |
 * JSON_C_TO_STRING_NOSLASHESCAPE. The caller owns it (json_object_put). Of the options, tags and
 * compression do not matter. A config of the wrong types or too deep is an ERROR_SPEC.
 */
int image_make_config(const struct image *base, const struct image_write_options *options,
	json_object **out, struct error *err);

/*
 * The environment of the config as a NULL-terminated vector of "KEY=VALUE": the base's Env with
 * the spec's merged in. One allocation chain, freed by image_env_free.
 */
char **image_env(const struct image *base, json_object *spec_config);
void image_env_free(char **env);

/*
 * Writes the archive to fd (at its position): oci-layout, index.json, manifest.json with RepoTags,
 * blobs/sha256/... each once; base blobs byte for byte. Fixed order, modes, owners and times. fd
 * may be a pipe. A tag without ":TAG" gets ":latest".
 */
int image_write(int fd, const struct image *base, const struct image_write_options *options,
	struct image_written *written, struct error *err);

#endif
