/* Small trees written as tables: made on the host, in a tree, or compared with one. */
#ifndef LAYERVM_TESTS_HOSTFILES_H
#define LAYERVM_TESTS_HOSTFILES_H

#include <stdint.h>

#include "support/report.h"
#include "tree/tree.h"

/* The owner that tests give to what is copied or made. */
#define NEW_UID 70000
#define NEW_GID 71

struct item {
	/* 'd', 'f', 'l', 'p', 'c', 's'ocket (host only), 'h'ard link, 'w' (tree only: no such name)
	 */
	char type;
	const char *path;
	uint32_t mode;    /* of 'd', 'f', 'p', 'c' */
	int64_t mtime;    /* seconds; 7 nanoseconds go with it */
	const char *text; /* content; target of 'l' and of 'h'; path "." is the root */
	bool is_new;      /* in a tree: owned by NEW_UID:NEW_GID rather than 10:20 */
};

/* A new folder in $TMPDIR or /var/tmp, mode 0755; removed with all in it by folder_remove. */
char *folder_new(void);
void folder_remove(char *path);

/* Makes the items, up to one whose type is 0, below a folder of the host. */
void items_to_folder(const struct item *items, const char *folder);

/* Puts them into a tree, over what is there. */
void items_to_tree(const struct item *items, struct tree *tree);

/* Fails with both texts unless the tree is just what the items say. */
void assert_tree_is(struct tree *tree, const struct item *items, const char *what);

/* A report into an unnamed file, and what was reported so far; the caller frees it. */
struct report *report_to_file(int *fd);
char *reported(int fd);

/* A tree with nothing in it, which is its base. */
struct tree *empty_tree(void);

/* hostdir_copy_in for NEW_UID:NEW_GID; what was reported goes to *report_text, which is freed. */
int copy_in(struct tree *tree, const char *path, bool keep_dirlinks, char **report_text,
	struct error *err);

/* workdir_run for NEW_UID:NEW_GID; what was reported goes to *report_text, which is freed. */
int run_script(struct tree *tree, const char *script, char **report_text, struct error *err);

/*
 * Setup and teardown of a group of tests: $TMPDIR is a folder of their own, writable for all,
 * and must be empty in the end.
 */
int temporary_setup(void **state);
int temporary_teardown(void **state);

/* Fails where $TMPDIR holds anything. */
void assert_nothing_left(void);

#endif
