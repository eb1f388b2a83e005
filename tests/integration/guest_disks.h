/* Disks for guests, made with the tools of e2fsprogs and QEMU from a few files of busybox. */
#ifndef TESTS_INTEGRATION_GUEST_DISKS_H
#define TESTS_INTEGRATION_GUEST_DISKS_H

#include <stdbool.h>
#include <stdint.h>

/* What an image holds. */
enum root {
	ROOT_SHELL,  /* busybox as /bin/sh, users, and the folders that are mounted on */
	ROOT_BASH,   /* the same with a /bin/bash that says so */
	ROOT_EMPTY,  /* nothing but the folders */
	ROOT_LINK,   /* /proc is a symlink */
	ROOT_NO_DEV, /* there is no /dev */
	ROOT_COUNT,
};

/* Whether the tools are there; where not, says which one is missing. */
bool disks_possible(void);

/* Makes a folder for the disks, and one disk of 64 MiB a root. */
void disks_make(void);
void disks_remove(void);

/* The same as cmocka's setup and teardown of a group. */
static inline int disks_set_up(void **state)
{
	(void)state;
	disks_make();
	return 0;
}

static inline int disks_tear_down(void **state)
{
	(void)state;
	disks_remove();
	return 0;
}

/* The size of a root's disk. */
#define DISKS_SIZE (UINT64_C(64) << 20)

/* Opens the disk of a root, and a new overlay over it, in which the disk has a size in bytes. */
void disks_open(enum root root, uint64_t size, int *disk, int *overlay);

/* Runs a program with the standard output to a file of the disks' folder. Returns its status. */
int run_tool(const char *output, const char *const argv[]);

/*
 * The disk of a root with what is in the last overlay, as one raw file. Returns its path, which
 * the caller frees.
 */
char *disks_merge(enum root root);

/* The path of a file of the disks' folder; the caller frees it. */
char *disks_path(const char *name);

#endif
