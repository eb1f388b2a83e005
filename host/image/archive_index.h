/*
 * The members of a tar by name: where each one's bytes are in the file. One pass over the
 * headers; no data is read or copied.
 */
#ifndef LAYERVM_IMAGE_ARCHIVE_INDEX_H
#define LAYERVM_IMAGE_ARCHIVE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

/* More members than this are no image archive; 100 layers have some 400. */
#define INDEX_MEMBERS_MAX 100000u

/* So are names of more bytes than this in all, links' targets included. */
#define INDEX_NAMES_MAX ((size_t)64 << 20)

/* Links from one member to the next before they are taken for a loop, as ELOOP of Linux. */
#define INDEX_LINKS_MAX 40u

struct member {
	char *name;   /* normalised: no "./", no leading or doubled '/', ".." resolved */
	bool is_link; /* a symlink or a hard link */
	char *target; /* of a link: normalised, from the archive's root; NULL: outside of it */
	bool is_file; /* a regular file whose bytes stand in one piece */
	uint64_t offset, size;
	size_t order; /* of the member in the archive, from 0 */
};

struct archive_index {
	int fd;                 /* borrowed */
	const char *path;       /* for messages; borrowed */
	struct member *members; /* by name; of one name the last member only */
	size_t count;
	bool is_cut;  /* there are more members or names than the limits: only so many are listed */
	bool has_end; /* the archive ends with the marker of zeros */
};

/*
 * Reads the headers of the tar in the first size bytes of fd. What is no tar, holds nothing or is
 * truncated is an ERROR_INPUT. fd and path stay the caller's and must outlive the index.
 */
int index_read(
	int fd, uint64_t size, const char *path, struct archive_index *index, struct error *err);
void index_free(struct archive_index *index);
#define cleanup_index __attribute__((cleanup(index_free)))

/* The member of a name, links not followed; NULL where there is none. */
const struct member *index_find(const struct archive_index *index, const char *name);

/*
 * The regular file that a name leads to, through symlinks and hard links among the members.
 * Nothing of that name, a loop and what is no file are ERROR_INPUTs that name it.
 */
int index_resolve(const struct archive_index *index, const char *name, const struct member **out,
	struct error *err);

#endif
