/* Names of archive members as places below the image's root, found within it by the kernel. */
#ifndef GUEST_INIT_UNPACK_PLACE_H
#define GUEST_INIT_UNPACK_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "support/error.h"
#include "unpack/names.h"

#define NAME_BYTES_MAX 255

enum name_kind {
	NAME_ENTRY,
	NAME_WHITEOUT, /* takes a name of lower layers away */
	NAME_OPAQUE,   /* takes all away that lower layers have in a directory */
	NAME_LINKED,   /* aufs's name for a file that has several: hard links lead to it */
	NAME_NOTE,     /* what else aufs writes for itself, and all that is below it */
};

/* A member's name without ".", ".." and empty parts. */
struct member_name {
	char *text;       /* owns both */
	const char *dir;  /* what is before the last part; "" for the root */
	const char *last; /* the last part; "" for the root itself */
	enum name_kind kind;
};
#define MEMBER_NAME_NONE ((struct member_name){.dir = "", .last = ""})

/*
 * Takes a name apart; ".." takes back the part before it, whatever that is. Fails with ERROR_INPUT
 * on ".." that leads out of the root, on parts over NAME_BYTES_MAX bytes, and on what is too long
 * for a system call; the prefix of a whiteout counts in neither. The caller frees it by
 * member_name_free, after a failure too.
 */
int member_name_parse(const char *path, struct member_name *out, struct error *err);
void member_name_free(struct member_name *name);
#define cleanup_member_name __attribute__((cleanup(member_name_free)))

/*
 * A directory whose names are changed. Its mtime is put back by directory_leave, since names
 * that come and go are no word of the layer about the directory.
 */
struct directory {
	int fd; /* -1: none */
	uint64_t ino;
	struct timespec mtime;
	char *path; /* as it was asked for; NULL: it leads through a symlink */
};
#define DIRECTORY_NONE ((struct directory){.fd = -1, .path = NULL})

enum place_mode {
	PLACE_MAKE,     /* what is missing is made: mode 0755, uid and gid 0, mtime 0 */
	PLACE_EXISTING, /* fd is -1 where it is missing */
	PLACE_LOWER,    /* the same; what is barred is missing */
};

/* Where paths begin, and symlinks stay within. */
struct place_root {
	int fd;
	struct names barred; /* symlinks that PLACE_LOWER does not follow */
};

/*
 * Opens the directory `path` below root; symlinks are followed within the root, as in a chroot.
 * Fails with ERROR_INPUT where a part of it is no directory (PLACE_MAKE). The caller closes the
 * result by directory_leave or directory_close, after a failure too.
 */
int directory_open(const struct place_root *root, const char *path, enum place_mode mode,
	struct directory *out, struct error *err);

/* Puts the mtime back and closes. */
int directory_leave(struct directory *directory, struct error *err);

/* Closes and frees; nothing is put back. An empty one is allowed. */
void directory_close(struct directory *directory);
#define cleanup_directory __attribute__((cleanup(directory_close)))

#endif
