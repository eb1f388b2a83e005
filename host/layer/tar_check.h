/*
 * A tar's headers, beside libarchive, which hides them. Takes the tar's bytes as they go by, and
 * refuses what GNU tar, Go's archive/tar, Python's tarfile and libarchive do not read alike: with
 * such a tar the image that a container runtime makes is not the one that was looked at. Gives of
 * each entry what libarchive does not say exactly. Knows nothing of layers.
 *
 * Refused are: an entry's size where its type has no data; numbers that are no plain octal,
 * base-256 or decimal ones; two pax headers, or pax and GNU headers, before one entry; a header for
 * an entry that does not come; pax records whose length is not right, global ones but comments, and
 * those that only some readers know; sparse files in none of GNU's forms; types but files, links,
 * directories, devices and FIFOs; fields beside the format that the header names; one block of
 * zeros before an entry. What comes after two of them is not read, as all readers have it.
 */
#ifndef LAYERVM_LAYER_TAR_CHECK_H
#define LAYERVM_LAYER_TAR_CHECK_H

#include <stdint.h>

#include "layer/pax.h"
#include "support/error.h"

struct tar_check;

/* What the headers of one entry say. */
struct tar_said {
	uint64_t at;   /* byte of the tar where they begin */
	uint32_t mode; /* 07777 of it */
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	uint64_t major, minor;
	char *path;        /* by the pax header; NULL: by none */
	char *target;      /* the same for the target of a link */
	struct buffer pax; /* the pax header's records */
};

/* Frees what it holds. */
void tar_said_free(struct tar_said *said);
#define cleanup_tar_said __attribute__((cleanup(tar_said_free)))

/* A check of one tar, from its first byte on. */
struct tar_check *tar_check_new(void) __attribute__((returns_nonnull));

/* NULL is allowed. */
void tar_check_free(struct tar_check *check);
static inline void cleanup_tar_check_fn(struct tar_check **check)
{
	tar_check_free(*check);
}
#define cleanup_tar_check __attribute__((cleanup(cleanup_tar_check_fn)))

/*
 * Takes the tar's next bytes. Fails with ERROR_INPUT, in words that name the entry and the field.
 */
int tar_check_add(struct tar_check *check, const void *data, size_t len, struct error *err);

/* How many of the tar's next bytes are data, which need not be shown: tar_check_skip then. */
uint64_t tar_check_skippable(const struct tar_check *check);
void tar_check_skip(struct tar_check *check, uint64_t len);

/*
 * The next entry. at: where the reader beside sees the headers of one begin. Fails with
 * ERROR_INPUT where no entry begins there, or an earlier one was not asked for. The caller frees
 * said with tar_said_free.
 */
int tar_check_entry(struct tar_check *check, uint64_t at, struct tar_said *said, struct error *err);

/*
 * The reader beside sees no more entries. Fails where one is left, or where the bytes end within an
 * entry's headers.
 */
int tar_check_end(const struct tar_check *check, struct error *err);

#endif
