/*
 * Images as files. image_source_open takes an archive (docker save's, old and new; an OCI layout;
 * a root file system tar; compressed or not) or a folder (an OCI layout, an unpacked docker save,
 * skopeo's dir:); image_source_list tells what is in it; image_source_load chooses an image and
 * gives its layers as uncompressed bytes and its config; image_write writes an archive in both
 * layouts at once. Knows JSON and archives; nothing of trees, disks or VMs.
 */
#ifndef LAYERVM_IMAGE_IMAGE_H
#define LAYERVM_IMAGE_IMAGE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/keep.h"
#include "support/digest.h"
#include "support/report.h"

/*
 * A layer compressed with xz or bzip2, for which OCI has no media type, goes on as its tar: its
 * blob_ fields and its digest are those of the inflated bytes.
 */
struct image_layer {
	struct digest digest;   /* of the blob as it is in the source */
	struct digest diff_id;  /* of the uncompressed tar; verified */
	const char *media_type; /* OCI: application/vnd.oci.image.layer.v1.tar[+gzip|+zstd|...] */
	uint64_t blob_size;     /* the blob's bytes start at blob_offset of blob_fd */
	uint64_t blob_offset;
	int blob_fd;       /* belongs to the image */
	uint64_t tar_size; /* the uncompressed tar's bytes start at tar_offset of tar_fd */
	uint64_t tar_offset;
	int tar_fd; /* belongs to the image; may be the same as blob_fd; -1: not inflated (yet) */
	bool is_streamed; /* has no tar_fd: image_stream_new gives the tar's bytes */
	bool is_trusted;  /* streamed, and image_trust gave its digests: they are not computed */
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

/* Where images come from: an archive or a folder that is open. */
struct image_source;

/*
 * Opens path. "-" is standard input; it and other pipes are spooled, a compressed archive is
 * inflated, both to unnamed temporary files. In a folder, files are opened beneath it only,
 * through no symlink, and regular ones only. What is no archive, a folder that is no layout, and
 * one that is cut short are ERROR_INPUTs that begin with the path; a passed cap (members, names,
 * inflated bytes) is an ERROR_LIMIT that says the cap.
 */
int image_source_open(const char *path, struct image_source **out, struct error *err);

/* Images that were loaded from the source outlive it. */
void image_source_free(struct image_source *source);
static inline void cleanup_image_source_fn(struct image_source **source)
{
	image_source_free(*source);
}
#define cleanup_image_source __attribute__((cleanup(cleanup_image_source_fn)))

/* How a source says what its images are. */
enum image_layout {
	IMAGE_LAYOUT_DOCKER, /* manifest.json, whether or not there is an OCI layout as well */
	IMAGE_LAYOUT_OCI,    /* index.json */
	IMAGE_LAYOUT_DIR,    /* manifest.json is one manifest or index: "dir:" of skopeo copy */
	IMAGE_LAYOUT_LEGACY, /* repositories, and a folder a layer: before Docker 1.10 */
	IMAGE_LAYOUT_ROOTFS, /* a root file system tar: one image, of which nothing is said */
};

/* One image of a source, as the source's documents have it. Strings are NULL where it has none. */
struct image_summary {
	char **names; /* "repo:tag", or the bare tag of some OCI layouts; NULL at the end */
	size_t name_count;
	char *digest; /* OCI: of the manifest; docker: of the config, which is the image ID; legacy:
			 the top layer's ID */
	char *os;
	char *architecture; /* GOARCH */
	char *variant;
	size_t layer_count;
	uint64_t size;       /* of the layers' blobs, as they are stored, in bytes */
	bool is_attestation; /* tells of another image how it was built; never chosen */
	bool is_missing;     /* listed, but its documents are not in the source: no layers known */
};

struct image_list {
	enum image_layout layout;
	struct image_summary *images; /* in the source's order, nested indexes laid flat */
	size_t count;
	/* private to image/ */
	size_t name_bytes;
};

/*
 * Lists the images of a source, each once with all its names. Reads documents, but no layer.
 * Artifacts that are no images are left out. Documents with the wrong digest, size or type are
 * ERROR_INPUTs; more than 10,000 images, 64 MiB of names or 256 MiB of documents are an
 * ERROR_LIMIT.
 */
int image_source_list(struct image_source *source, struct image_list **out, struct error *err);

void image_list_free(struct image_list *list);
static inline void cleanup_image_list_fn(struct image_list **list)
{
	image_list_free(*list);
}
#define cleanup_image_list __attribute__((cleanup(cleanup_image_list_fn)))

/* What becomes of the tars that compressed layers are inflated to. */
enum image_tars {
	IMAGE_TARS_KEPT,     /* written to unnamed temporary files */
	IMAGE_TARS_STREAMED, /* the largest blobs, four at most, are left to be read through
				image_stream_new; the others' tars are written */
	IMAGE_TARS_DROPPED,  /* hashed only: the layers have no tars afterwards, but where these are
				what goes on */
};

struct image_options {
	const char *name;         /* fromImageName, or NULL */
	const char *tag;          /* fromImageTag, or NULL; only both together have an effect */
	const char *architecture; /* GOARCH, for an index of several platforms; NULL: the host's */
	const char *variant;      /* of the architecture, such as "v7"; NULL: any */
	struct report *report;    /* says which image was taken where several were there, and warns
				     where it is for another architecture; or NULL */
	enum image_tars tars;
	uint64_t spool_max; /* with IMAGE_TARS_STREAMED: no more layers are streamed than leave so
			       many compressed bytes, whose tars are written */
	/* Has what a compressed archive inflates to, for image_open; NULL: it is inflated. */
	struct image_keep *keep;
	bool later; /* leave inflating and hashing the layers to image_verify */
};

/*
 * Loads the image that the options choose. Everything is verified while it is read: the config's
 * digest where the source names it, each layer's blob digest and diff ID, the number of layers.
 * (Legacy layers have neither digests nor diff IDs: these are computed.) Compressed layers are
 * inflated once, several at a time, to unnamed temporary files unless the options have it
 * otherwise. Members are looked up by name within the source only; in archives, symlinks among them
 * too. A name is matched to the letter first, then in the full form that Docker gives it
 * ("docker.io/library/busybox:latest"); where an OCI layout has bare tags, a tag is a name. Of
 * several platforms the wanted one is taken, of its variants the lowest where none is wanted, else
 * an image that does not say for which it is; a single image is taken whatever it is for, with a
 * warning. Errors are ERROR_INPUT with the path,
 * what was found and expected; a name that is not there lists the names that are. A passed cap
 * (layers, inflated bytes) is an ERROR_LIMIT that says the cap.
 */
int image_source_load(struct image_source *source, const struct image_options *options,
	struct image **out, struct error *err);

/*
 * Inflates and verifies the layers of an image that was loaded with `later`: the digest and the
 * diff ID of each. image_verify_start has threads begin; image_verify waits for them (and starts
 * them where nobody has), and gives the errors that image_source_load gives else. Until it returned
 * 0 the layers' bytes may not be those that the config names, which no output may show; compressed
 * layers have no tar, and a digest of zeros where the source names none; a root file system's tar,
 * with which nothing can be compared, has digests of zeros, and its config no rootfs. Legacy images
 * and layers compressed with xz or bzip2 are loaded at once. More calls do nothing.
 */
void image_verify_start(struct image *image);
int image_verify(struct image *image, struct error *err);

/*
 * Whether all layers have their tars, or are streamed: before, they can be neither merged nor
 * unpacked.
 */
bool image_has_tars(const struct image *image);

/*
 * The tar of a layer that is streamed, read from its first byte to its last while a thread of the
 * stream's own inflates ahead. Outlives the image. The layer is verified by it, not by
 * image_verify: the end is not given before its digests were compared with those that the source
 * names, and, when it is read again, its size and its blob's digest with those of the first time.
 * Of a layer that is trusted nothing is hashed but where the source's file has another size or time
 * than when it was opened: then the blob, before the end. The first reading counts for what the
 * image may inflate to; another one ends where it gives more than that did.
 */
struct image_stream;

struct image_stream *image_stream_new(const struct image *image, size_t layer)
	__attribute__((returns_nonnull));

/*
 * The next bytes, valid until the next call; *len is 0 at the end, and stays so. Errors as of
 * image_source_load, with path and layer; after one, only image_stream_rewind and image_stream_free
 * follow.
 */
int image_stream_next(
	struct image_stream *stream, const uint8_t **data, size_t *len, struct error *err);

/* Goes back to the first byte. */
void image_stream_rewind(struct image_stream *stream);

/* After the end was read: gives the layer its digest, where the source names none, and tar_size. */
void image_stream_settle(const struct image_stream *stream, struct image_layer *layer);

void image_stream_free(struct image_stream *stream);
static inline void cleanup_image_stream_fn(struct image_stream **stream)
{
	image_stream_free(*stream);
}
#define cleanup_image_stream __attribute__((cleanup(cleanup_image_stream_fn)))

/*
 * What the image's bytes are known by without reading them: the file that was opened, when it was
 * changed last, and where in it the image is. Returns false for an image that was not loaded with
 * `later`, or from a folder or a pipe: its bytes are known by nothing but themselves; and for one
 * without layers, of which nothing is to be known.
 */
bool image_fingerprint(const struct image *image, struct digest *out);

/*
 * Whether what the bytes are found to be now holds for its fingerprint from here on: the file was
 * not changed since it was opened, and a change will get another time.
 */
bool image_is_settled(const struct image *image);

struct image_digests {
	struct digest digest, diff_id;
};

/*
 * Gives the layers the digests, one pair a layer, that image_verify found for the same
 * fingerprint, and streams where layers were streamed. image_verify need not be called then, but
 * where tars are needed; it compares with them. Streams that are made from then on compute none.
 */
void image_trust(struct image *image, const struct image_digests *digests);

/* image_source_open and image_source_load in one. */
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

/*
 * The digest of a config document printed in the canonical way: no white space, '/' as it is. Of
 * image_make_config's document it is the image ID.
 */
struct digest image_config_digest(json_object *config);

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
 * `config` is inherited as FROM does, by the table in config_merge.c; null is as if the key were
 * not there. Not passed on: OnBuild (image_triggers), config.Image, and what tells of the
 * container or the build that the base came from. Unknown keys are kept. History is kept and
 * extended, and where it does not fit the base's layers brought into line with them;
 * rootfs.diff_ids has the base's and the new layer's. Objects have their keys in byte order. The
 * image ID is image_config_digest of the document. The caller owns it (json_object_put). Of the
 * options, tags and compression do not matter. A config of the wrong types or too deep is an
 * ERROR_SPEC.
 */
int image_make_config(const struct image *base, const struct image_write_options *options,
	json_object **out, struct error *err);

/*
 * The base's OnBuild triggers, which are neither run nor passed on, in one line that may be cut;
 * NULL where there are none. The caller frees it.
 */
char *image_triggers(const struct image *base);

/*
 * The environment of the config as a NULL-terminated vector of "KEY=VALUE": the base's Env with
 * the spec's merged in. One allocation chain, freed by image_env_free.
 */
char **image_env(const struct image *base, json_object *spec_config);
void image_env_free(char **env);

/*
 * An archive that is being written. Its beginning, the base's layers, depends on nothing that a
 * step does to them, and may be written beside it.
 */
struct image_writer;

/* An archive at fd's position; fd stays the caller's, who leaves it alone until the end. */
int image_writer_new(
	int fd, enum image_compression compression, struct image_writer **out, struct error *err);

/*
 * Begins to write, in a thread, unless that has begun; the report gets its time in the end. The
 * base's layers have their digests and their bytes, known or found to be right; the base must live
 * as long as the writer. A failure is image_writer_check's or image_writer_finish's. May be left
 * out.
 */
void image_writer_start(
	struct image_writer *writer, const struct image *base, struct report *report);

/*
 * What the thread has failed with by now; 0 where it has not, or there is none. After a failure
 * there is nothing but image_writer_free.
 */
int image_writer_check(struct image_writer *writer, struct error *err);

/*
 * Writes what is not written yet, as image_write. base: that of image_writer_start. Of the options
 * compression does not matter.
 */
int image_writer_finish(struct image_writer *writer, const struct image *base,
	const struct image_write_options *options, struct image_written *written,
	struct error *err);

/* Ends the thread soon, whatever it is at. */
void image_writer_free(struct image_writer *writer);
static inline void cleanup_image_writer_fn(struct image_writer **writer)
{
	image_writer_free(*writer);
}
#define cleanup_image_writer __attribute__((cleanup(cleanup_image_writer_fn)))

/*
 * Writes the archive to fd (at its position): oci-layout, index.json, manifest.json with RepoTags,
 * blobs/sha256/... each once; base blobs byte for byte, their descriptors with the annotations that
 * they had in the base. Fixed order, modes, owners and times. fd may be a pipe. A tag without
 * ":TAG" gets ":latest".
 */
int image_write(int fd, const struct image *base, const struct image_write_options *options,
	struct image_written *written, struct error *err);

#endif
