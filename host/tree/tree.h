/*
 * The tree of an image: inodes with names, in two states. Layers, copied files and the disk that
 * the guest wrote change the current state; tree_freeze makes it the base, and what differs
 * between the two afterwards is the new layer (changes.h). Gives entries in name order. Knows
 * nothing of tar, JSON or ext4: it is the word that layer/ and disk/ share.
 *
 * Data is never held: a regular file is a list of segments of sources (source.h). All memory is
 * an arena's, freed with the tree; an entry takes about 200 bytes with its name.
 */
#ifndef LAYERVM_TREE_TREE_H
#define LAYERVM_TREE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "support/buffer.h"
#include "support/error.h"
#include "tree/source.h"

/* Bytes logical..logical+length of a file are at offset of its source; what no segment covers is
 * zeros. Segments of a file are sorted by logical and do not overlap. */
struct segment {
	uint64_t logical;
	uint64_t length;
	uint64_t offset;
};

struct xattr {
	const char *name; /* as the kernel writes it: "security.capability" */
	const void *value;
	uint32_t len;
};

/* Extended attributes of an inode, sorted by name (strcmp), no name twice. */
struct xattrs {
	uint32_t count;
	struct xattr items[];
};

struct dentry;

struct inode {
	uint32_t mode; /* type and permission bits, as st_mode */
	uint32_t uid;
	uint32_t gid;
	uint32_t nlink;      /* names in the current state; of a directory: 1 */
	uint32_t base_nlink; /* names in the base state */
	uint32_t ino;        /* its number on the disk (tree_set_number); 0: none */
	uint32_t mtime_nsec; /* 0 to 999,999,999 */
	uint32_t segment_count;
	int64_t mtime_sec; /* seconds since 1970, negative before */
	uint64_t size;     /* regular files: bytes; symlinks: length of the target; else 0 */
	union {
		const struct segment *segments; /* regular files; NULL where there are none */
		const char *target;             /* symlinks; NUL-terminated */
		struct {
			uint32_t major, minor;
		} device; /* character and block devices */
	};
	struct source *source;       /* of a regular file's segments; belongs to the tree */
	const struct xattrs *xattrs; /* NULL: none */
	struct dentry *names;        /* current names, through next_name */
};

/* What is known about a name. */
enum {
	DENTRY_WRITE = 1,     /* goes into the new layer */
	DENTRY_WHITEOUT = 2,  /* goes into the new layer as a whiteout */
	DENTRY_BELOW = 4,     /* a name below it goes into the new layer */
	DENTRY_SCAFFOLD = 8,  /* a mount point made for the guest; no change if untouched */
	DENTRY_BARRED = 16,   /* a symlink that the layer being applied takes away: see merge.h */
	DENTRY_OPAQUE = 32,   /* a directory that the layer being applied has emptied */
	DENTRY_TOUCHED = 64,  /* was given or lost an inode since tree_freeze; the tree's own */
	DENTRY_DECIDED = 128, /* while changes_mark runs */
};

struct dentry {
	struct dentry *parent;   /* NULL for the root */
	struct inode *inode;     /* current state; NULL: no such name now */
	struct inode *base;      /* base state; NULL: there was no such name */
	struct dentry *children; /* names below, also gone ones; the current inode is a directory */
	struct dentry *next;     /* the next name in the same directory */
	struct dentry *next_name;  /* the next current name of the same inode */
	struct dentry **name_link; /* what points to this name in that list */
	struct dentry *next_hash;
	uint32_t hash;
	uint16_t name_len; /* 1 to 255; 0 for the root */
	uint8_t flags;     /* DENTRY_ */
	char name[];       /* NUL-terminated; any bytes but '/' and NUL; never "." or ".." */
};

#define TREE_NAME_MAX 255

/*
 * What a tree may hold, by tree_check: names that were ever made, those that were replaced
 * included, and bytes of inodes, names, attributes, symlinks' targets and sparse maps. A million
 * files take some 220 MB, so that both come to about the same: no image has so much, and a hostile
 * one of a few MB would take all of the host's memory.
 */
#define TREE_NAMES_MAX (UINT64_C(16) << 20)
#define TREE_BYTES_MAX (UINT64_C(4) << 30)

struct tree;

/* A tree with nothing but a root directory: mode 0755, uid and gid 0, mtime 0. */
struct tree *tree_new(void) __attribute__((returns_nonnull));
void tree_free(struct tree *tree);
static inline void cleanup_tree_fn(struct tree **tree)
{
	tree_free(*tree);
}
#define cleanup_tree __attribute__((cleanup(cleanup_tree_fn)))

struct dentry *tree_root(struct tree *tree);

/* How many current names there are, the root included. */
uint64_t tree_count(const struct tree *tree);

/*
 * Fails with ERROR_LIMIT where the tree holds more than it may. Readers call it for each entry that
 * comes from outside; an entry may make some 2,000 names besides its own.
 */
int tree_check(const struct tree *tree, struct error *err);

/* Sets other limits for tree_check; for tests. */
void tree_set_limits(struct tree *tree, uint64_t names, uint64_t bytes);

/* Zeroed memory that lives as long as the tree. */
void *tree_alloc(struct tree *tree, size_t size) __attribute__((returns_nonnull));

/* Hands a source to the tree, which frees it in the end; once more is allowed. Returns it. */
struct source *tree_own_source(struct tree *tree, struct source *source);

/* All of them, each once. The array stands until one is added. */
struct source *const *tree_sources(const struct tree *tree, size_t *count);

/* Adds the descriptors that the tree's sources read, each an int, to fds. */
void tree_add_fds(const struct tree *tree, struct buffer *fds);

/* A new inode without a name; all fields but mode are zero. */
struct inode *tree_inode_new(struct tree *tree, uint32_t mode) __attribute__((returns_nonnull));

/* Copies and sorts attributes for an inode of this tree; NULL where count is 0. Of equal names
 * the last stays. */
const struct xattrs *tree_xattrs(struct tree *tree, const struct xattr *items, size_t count);

/* The current entry of that name in a directory, or NULL. */
struct dentry *tree_find(struct tree *tree, struct dentry *dir, const char *name, size_t len);

/*
 * Gives inode a name in a directory. Whatever had the name goes, with all below it; a directory
 * that takes a directory's name keeps the names below. A directory inode may have one name only.
 * name: len bytes (1 to 255), not "." or "..", without '/' and NUL: the caller has checked.
 */
struct dentry *tree_link(struct tree *tree, struct dentry *dir, const char *name, size_t len,
	struct inode *inode) __attribute__((returns_nonnull));

/*
 * The same for whoever knows that the directory has no such name and never had. before: the name in
 * it that the new one comes behind, or NULL: it becomes the first.
 */
struct dentry *tree_add(struct tree *tree, struct dentry *dir, struct dentry *before,
	const char *name, size_t len, struct inode *inode) __attribute__((returns_nonnull));

/* Makes room for as many names in all, where they are known to come. */
void tree_reserve(struct tree *tree, size_t names);

/* Gives an existing current name another inode, by the rules of tree_link. The root (a directory)
 * too. The name is no DENTRY_SCAFFOLD any more. */
void tree_relink(struct tree *tree, struct dentry *dentry, struct inode *inode);

/*
 * Takes the name away, and all below it. Not for the root. Names below stay as gone names where
 * the base has them; others are no part of the tree any more. tree_relink does the same below a
 * directory that becomes something else.
 */
void tree_unlink(struct tree *tree, struct dentry *dentry);

/* Whether a directory has no current names. */
bool tree_is_empty(const struct dentry *dir);

/* Makes the current state the base state. */
void tree_freeze(struct tree *tree);

/*
 * The names that were given or lost an inode since tree_freeze, each once, in any order: all in
 * which the two states differ are among them, as are some that are no part of the tree any more
 * (inode and base are NULL). Of a tree that was never frozen: all names. The array is the tree's;
 * it stands until a name gets or loses an inode.
 */
struct dentry *const *tree_touched(struct tree *tree, size_t *count);

/*
 * Makes the base state the current state again, in time that grows with what was touched. Marks
 * (tree_clear_marks) are cleared, and all other flags of touched names.
 */
void tree_revert(struct tree *tree);

/*
 * Sorts the names of every directory by their bytes, and puts the first of an inode's names (in
 * walk order) at the head of inode->names. Linking may unsort them again.
 */
void tree_sort(struct tree *tree);

/*
 * The same where marks are: directories with DENTRY_BELOW, inodes with DENTRY_WRITE at all their
 * names.
 */
void tree_sort_marked(struct tree *tree);

/* Clears DENTRY_WRITE, DENTRY_WHITEOUT and DENTRY_BELOW where they are reached through the last. */
void tree_clear_marks(struct tree *tree);

/*
 * Walks the tree without recursion: the entry after d in preorder below (and with) top, gone
 * names included (inode is NULL); NULL at the end. tree_next_over passes over d's children;
 * tree_next_marked does so where d has no DENTRY_BELOW.
 */
struct dentry *tree_next(const struct dentry *top, const struct dentry *d);
struct dentry *tree_next_over(const struct dentry *top, const struct dentry *d);
struct dentry *tree_next_marked(const struct dentry *top, const struct dentry *d);

/*
 * Gives an inode of the tree its number on the disk, and finds an inode by it: the last that was
 * given that number, or NULL. Numbers are dense: eight bytes are kept for each up to the highest.
 */
void tree_set_number(struct tree *tree, struct inode *inode, uint32_t ino);
struct inode *tree_numbered(const struct tree *tree, uint32_t ino);

/* The highest number that was given; 0: none was. */
uint32_t tree_last_number(const struct tree *tree);

/* Takes the numbers of all inodes of both states away: they are 0. */
void tree_forget_numbers(struct tree *tree);

/* The path as "a/b/c" ("" for the root); the caller frees it. */
char *tree_path(const struct dentry *dentry) __attribute__((returns_nonnull));

/*
 * The entry for a path, where the current state has one: "a/b" and "/a/b" are the same; "." and
 * empty parts are passed over, ".." is not found. Symlinks are not followed. NULL: no such entry.
 */
struct dentry *tree_walk(struct tree *tree, const char *path);

/* Reads bytes of a regular file, holes as zeros. offset + len is at most inode->size. */
int inode_read(
	const struct inode *inode, void *data, size_t len, uint64_t offset, struct error *err);

/* A file's only segment, all of it at offset of the source. */
void inode_set_data(struct tree *tree, struct inode *inode, struct source *source, uint64_t offset,
	uint64_t size);

static inline bool inode_is_dir(const struct inode *inode)
{
	return S_ISDIR(inode->mode);
}

/* Whether it is a character or block device, which has device numbers. */
static inline bool inode_is_device(const struct inode *inode)
{
	return S_ISCHR(inode->mode) || S_ISBLK(inode->mode);
}

#endif
