/*
 * A folder of the host, entry by entry: names in the order of their bytes, a directory before
 * what is in it. No recursion, and every step relative to a descriptor (dirstack.h).
 */
#ifndef LAYERVM_HOSTDIR_SCAN_H
#define LAYERVM_HOSTDIR_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "support/error.h"

enum scan_flags {
	/* A symlink that leads to a directory is that directory, as `rsync -k` has it. */
	SCAN_FOLLOW = 1,
	/* Permissions of the owner that are missing are added: for a folder of our own. */
	SCAN_FORCE = 2,
	/* What is mounted below the folder is not entered: is_mount says so. */
	SCAN_ONE_MOUNT = 4,
};

enum scan_event {
	SCAN_ENTRY, /* a name; if it is a directory it is entered next */
	SCAN_LEAVE, /* the end of a directory: name and st are those of its SCAN_ENTRY */
};

/* Valid until the next call. */
struct scan_entry {
	enum scan_event event;
	size_t depth;     /* 0: a name in the folder itself */
	int dir;          /* descriptor of the directory that holds the name */
	const char *name; /* any bytes but '/' and NUL */
	const char *path; /* the folder's path and the name's, for messages */
	bool followed;    /* a symlink that st sees through (SCAN_FOLLOW) */
	bool is_mount;    /* something is mounted here (SCAN_ONE_MOUNT) */
	unsigned flags;   /* those of the scan */
	struct statx st;
};

struct scan;

/*
 * Starts a scan. fd: the folder, opened for reading; duplicated. path: what messages call it.
 * flags: SCAN_ values. The folder itself is no entry.
 */
int scan_open(int fd, const char *path, unsigned flags, struct scan **out, struct error *err);

/*
 * Gives the next entry. Returns 1, 0 at the end, or an error: ERROR_INPUT with path and reason,
 * a symlink that leads back into a directory above it among them.
 */
int scan_next(struct scan *scan, struct scan_entry *entry, struct error *err);

/* The directory that was given last is not entered, and there is no SCAN_LEAVE for it. */
void scan_skip(struct scan *scan);

/* Opens the entry, a regular file, for reading. Returns a descriptor of the caller's. */
int scan_open_file(const struct scan_entry *entry, struct error *err);

/* The entry for one name in a directory, without a scan; dir, name and path stay the caller's. */
int scan_lookup(
	int dir, const char *name, const char *path, struct scan_entry *entry, struct error *err);

/*
 * Opens the folder that a file is in, which may be named through symlinks. *name: the file's own
 * name there, which the caller frees. Returns a descriptor of the caller's.
 */
int scan_open_parent(const char *path, char **name, struct error *err);

void scan_free(struct scan *scan);
static inline void cleanup_scan_fn(struct scan **scan)
{
	scan_free(*scan);
}
#define cleanup_scan __attribute__((cleanup(cleanup_scan_fn)))

#endif
