/*
 * Where an image's files are: the members of an archive, or the files of a folder, by name. An
 * archive is a plain tar by then: pipes are spooled and compressed ones inflated.
 */
#ifndef LAYERVM_IMAGE_STORE_H
#define LAYERVM_IMAGE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "image/archive_index.h"
#include "image/folder.h"
#include "image/inflate.h"
#include "image/keep.h"
#include "support/digest.h"
#include "support/error.h"

/* Bytes of a file in one piece; fd belongs to the store. */
struct extent {
	int fd;
	uint64_t offset, size;
};

/* How the blobs of OCI descriptors are named. */
enum store_names {
	STORE_NAMES_LAYOUT, /* blobs/sha256/HEX: image-spec image-layout.md */
	STORE_NAMES_FLAT,   /* HEX, and HEX.manifest.json: "dir:" of containers/image */
};

struct store {
	unsigned references;
	char *path; /* for messages */
	bool is_folder;
	struct folder folder;       /* of a folder */
	struct archive_index index; /* of an archive, with its descriptor and size below */
	int fd;
	uint64_t size;
	int origin_fd; /* the regular file that was opened, compressed or not; -1: there is none */
	struct stat origin; /* as it was then */
	enum store_names names;
	struct digest flat_top;       /* STORE_NAMES_FLAT: of manifest.json, which is no HEX */
	uint64_t document_bytes;      /* read so far by json_read_extent */
	struct image_keep *keep;      /* until it is open */
	struct inflate_budget budget; /* what inflating a compressed archive left; limit 0: none */
};

/*
 * Opens a path, "-" being standard input. The store has one reference then. keep: has what a
 * compressed archive inflates to, or NULL.
 */
int store_open(const char *path, struct image_keep *keep, struct store **out, struct error *err);

/*
 * Whether the file that was opened will show every later change by its times: nobody has changed
 * it since, and its last change is longer ago than the steps of the clock that it is told by.
 */
bool store_is_settled(const struct store *store);

/*
 * Whether the file that was opened has the inode, the size and the times that it had then. Pipes
 * and folders, where there is no such file, have not.
 */
bool store_is_unchanged(const struct store *store);

/* Another reference, and one less: the last one closes all. NULL is allowed for the latter. */
struct store *store_ref(struct store *store);
void store_unref(struct store *store);

/* Whether there is something of that name; that store_find takes it is not said. */
bool store_has(struct store *store, const char *name);

/*
 * The bytes of the file of that name: the same for every call. Links among an archive's members
 * are followed. Nothing of that name gives -ENOENT; errors are ERROR_INPUTs that name it.
 */
int store_find(struct store *store, const char *name, struct extent *out, struct error *err);

#endif
