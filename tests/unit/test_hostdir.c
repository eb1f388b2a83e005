#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "hostdir/hostdir.h"
#include "hostfiles.h"
#include "skips.h"
#include "support/memory.h"

/* What the tree's root is unless a table says otherwise. */
#define ROOT_ITEM                                                                                  \
	{                                                                                          \
		'd', ".", 0711, 9, NULL, false                                                     \
	}

struct copy_case {
	const char *what;
	bool keep_dirlinks;
	struct item base[12];
	struct item folder[12];
	struct item expected[16];
	const char *warning; /* a part of it; NULL: none is expected */
	const char *error;   /* a part of it; NULL: it works */
};

static const struct copy_case copy_cases[] = {
	{.what = "all kinds of files, and the root's own metadata stays",
		.folder = {{'d', "a", 0750, 1, NULL, 0}, {'f', "a/f", 04755, 2, "text", 0},
			{'l', "a/l", 0, 3, "../nowhere", 0}, {'p', "a/p", 0620, 4, NULL, 0},
			{'d', "a/empty", 01777, 5, NULL, 0}, {'f', "a/none", 0444, -6, "", 0}},
		.base = {ROOT_ITEM},
		.expected = {ROOT_ITEM, {'d', "a", 0750, 1, NULL, 1},
			{'f', "a/f", 04755, 2, "text", 1}, {'l', "a/l", 0, 3, "../nowhere", 1},
			{'p', "a/p", 0620, 4, NULL, 1}, {'d', "a/empty", 01777, 5, NULL, 1},
			{'f', "a/none", 0444, -6, "", 1}}},
	{.what = "a directory gets the folder's metadata and keeps its names",
		.base = {{'d', "etc", 0700, 1, NULL, 0}, {'f', "etc/old", 0600, 2, "old", 0},
			{'f', "etc/both", 0600, 3, "old", 0}},
		.folder = {{'d', "etc", 0755, 11, NULL, 0}, {'f', "etc/both", 0644, 12, "new!", 0},
			{'f', "etc/new", 0644, 13, "new", 0}},
		.expected = {{'d', "etc", 0755, 11, NULL, 1}, {'f', "etc/old", 0600, 2, "old", 0},
			{'f', "etc/both", 0644, 12, "new!", 1},
			{'f', "etc/new", 0644, 13, "new", 1}}},
	{.what = "a folder of the image that gets another mode is told",
		.base = {{'d', "tmp", 01777, 1, NULL, 0}},
		.folder = {{'d', "tmp", 0755, 11, NULL, 0}},
		.expected = {{'d', "tmp", 0755, 11, NULL, 1}},
		.warning = "/tmp: gives the image's folder /tmp mode 0755, owner 70000:71; before: "
			   "mode 1777, owner 10:20; set keepContentsModes (--copy-keep-modes) to "
			   "keep these\n"},
	{.what = "many of them are counted",
		.base = {{'d', "a", 0700, 1, NULL, 0}, {'d', "b", 0700, 1, NULL, 0},
			{'d', "c", 0700, 1, NULL, 0}, {'d', "d", 0700, 1, NULL, 0},
			{'d', "e", 0700, 1, NULL, 0}, {'d', "f", 0700, 1, NULL, 0},
			{'d', "g", 0700, 1, NULL, 0}},
		.folder = {{'d', "a", 0755, 1, NULL, 0}, {'d', "b", 0755, 1, NULL, 0},
			{'d', "c", 0755, 1, NULL, 0}, {'d', "d", 0755, 1, NULL, 0},
			{'d', "e", 0755, 1, NULL, 0}, {'d', "f", 0755, 1, NULL, 0},
			{'d', "g", 0755, 1, NULL, 0}},
		.expected = {{'d', "a", 0755, 1, NULL, 1}, {'d', "b", 0755, 1, NULL, 1},
			{'d', "c", 0755, 1, NULL, 1}, {'d', "d", 0755, 1, NULL, 1},
			{'d', "e", 0755, 1, NULL, 1}, {'d', "f", 0755, 1, NULL, 1},
			{'d', "g", 0755, 1, NULL, 1}},
		.warning = ": gives 2 more folders of the image another mode or owner\n"},
	{.what = "hard links of the folder, and those of the base that one name leaves",
		.base = {{'f', "a", 0600, 1, "old", 0}, {'h', "b", 0, 0, "a", 0}},
		.folder = {{'f', "a", 0644, 11, "new", 0}, {'d', "d", 0755, 12, NULL, 0},
			{'h', "d/z", 0, 0, "a", 0}},
		.expected = {{'f', "a", 0644, 11, "new", 1}, {'f', "b", 0600, 1, "old", 0},
			{'d', "d", 0755, 12, NULL, 1}, {'h', "d/z", 0, 0, "a", 0}}},
	{.what = "a directory takes the place of a file",
		.base = {{'f', "x", 0600, 1, "old", 0}},
		.folder = {{'d', "x", 0755, 11, NULL, 0}, {'f', "x/f", 0644, 12, "", 0}},
		.expected = {{'d', "x", 0755, 11, NULL, 1}, {'f', "x/f", 0644, 12, "", 1}}},
	{.what = "a file takes the place of an empty directory",
		.base = {{'d', "x", 0700, 1, NULL, 0}},
		.folder = {{'f', "x", 0644, 11, "new", 0}},
		.expected = {{'f', "x", 0644, 11, "new", 1}}},
	{.what = "a file does not take the place of a full directory",
		.base = {{'d', "x", 0700, 1, NULL, 0}, {'f', "x/f", 0600, 2, "", 0}},
		.folder = {{'f', "x", 0644, 11, "new", 0}},
		.error = "/x: cannot take the place of the image's folder /x, which is not empty"},
	{.what = "neither does a symlink",
		.keep_dirlinks = true,
		.base = {{'d', "x", 0700, 1, NULL, 0}, {'f', "x/f", 0600, 2, "", 0}},
		.folder = {{'l', "x", 0, 11, "y", 0}, {'d', "y", 0755, 12, NULL, 0}},
		.error = "/x: cannot take the place of the image's folder /x, which is not empty"},
	{.what = "-k: a directory takes the place of a symlink to a directory",
		.base = {{'d', "usr", 0755, 1, NULL, 0}, {'d', "usr/bin", 0755, 2, NULL, 0},
			{'f', "usr/bin/sh", 0755, 3, "sh", 0}, {'l', "bin", 0, 4, "usr/bin", 0}},
		.folder = {{'d', "bin", 0555, 11, NULL, 0}, {'f', "bin/new", 0755, 12, "new", 0}},
		.expected = {{'d', "usr", 0755, 1, NULL, 0}, {'d', "usr/bin", 0755, 2, NULL, 0},
			{'f', "usr/bin/sh", 0755, 3, "sh", 0}, {'d', "bin", 0555, 11, NULL, 1},
			{'f', "bin/new", 0755, 12, "new", 1}},
		.warning = "symlink /bin -> usr/bin; set keepContentsDirlinks"},
	{.what = "-K: it goes into the directory that the symlink leads to",
		.keep_dirlinks = true,
		.base = {{'d', "usr", 0755, 1, NULL, 0}, {'d', "usr/bin", 0755, 2, NULL, 0},
			{'f', "usr/bin/sh", 0755, 3, "sh", 0}, {'l', "bin", 0, 4, "usr/bin", 0}},
		.folder = {{'d', "bin", 0555, 11, NULL, 0}, {'f', "bin/new", 0755, 12, "new", 0}},
		.expected = {{'d', "usr", 0755, 1, NULL, 0}, {'d', "usr/bin", 0555, 11, NULL, 1},
			{'f', "usr/bin/sh", 0755, 3, "sh", 0}, {'l', "bin", 0, 4, "usr/bin", 0},
			{'f', "usr/bin/new", 0755, 12, "new", 1}}},
	{.what = "-K: through several symlinks, absolute and above the root, below directories",
		.keep_dirlinks = true,
		.base = {{'d', "d", 0755, 1, NULL, 0}, {'l', "d/one", 0, 2, "/two/./x", 0},
			{'l', "two", 0, 3, "d/../../../d//deep/", 0},
			{'d', "d/deep", 0755, 4, NULL, 0}, {'d', "d/deep/x", 0755, 5, NULL, 0}},
		.folder = {{'d', "d", 0755, 11, NULL, 0}, {'d', "d/one", 0700, 12, NULL, 0},
			{'f', "d/one/f", 0644, 13, "f", 0}},
		.expected = {{'d', "d", 0755, 11, NULL, 1}, {'l', "d/one", 0, 2, "/two/./x", 0},
			{'l', "two", 0, 3, "d/../../../d//deep/", 0},
			{'d', "d/deep", 0755, 4, NULL, 0}, {'d', "d/deep/x", 0700, 12, NULL, 1},
			{'f', "d/deep/x/f", 0644, 13, "f", 1}}},
	{.what = "-K: an absolute symlink behind a relative one, not at the root",
		.keep_dirlinks = true,
		.base = {{'d', "d", 0755, 1, NULL, 0}, {'l', "d/abs", 0, 2, "/e", 0},
			{'l', "one", 0, 3, "d/abs", 0}, {'d', "e", 0755, 4, NULL, 0}},
		.folder = {{'d', "one", 0700, 12, NULL, 0}, {'f', "one/f", 0644, 13, "f", 0}},
		.expected = {{'d', "d", 0755, 1, NULL, 0}, {'l', "d/abs", 0, 2, "/e", 0},
			{'l', "one", 0, 3, "d/abs", 0}, {'d', "e", 0700, 12, NULL, 1},
			{'f', "e/f", 0644, 13, "f", 1}}},
	{.what = "-K: a symlink to the root leads to the root, which keeps its metadata",
		.keep_dirlinks = true,
		.base = {ROOT_ITEM, {'l', "here", 0, 2, "/..", 0}},
		.folder = {{'d', "here", 0700, 12, NULL, 0}, {'f', "here/f", 0644, 13, "f", 0}},
		.expected = {ROOT_ITEM, {'l', "here", 0, 2, "/..", 0},
			{'f', "f", 0644, 13, "f", 1}}},
	{.what = "-K: symlinks that lead nowhere, to a file, through a file or in a circle give "
		 "way",
		.keep_dirlinks = true,
		.base = {{'f', "f", 0644, 1, "f", 0}, {'l', "none", 0, 2, "missing", 0},
			{'l', "file", 0, 3, "f", 0}, {'l', "through", 0, 4, "f/..", 0},
			{'l', "a", 0, 5, "b", 0}, {'l', "b", 0, 6, "a", 0}},
		.folder = {{'d', "none", 0755, 11, NULL, 0}, {'d', "file", 0755, 12, NULL, 0},
			{'d', "through", 0755, 13, NULL, 0}, {'d', "a", 0755, 14, NULL, 0}},
		.expected = {{'f', "f", 0644, 1, "f", 0}, {'d', "none", 0755, 11, NULL, 1},
			{'d', "file", 0755, 12, NULL, 1}, {'d', "through", 0755, 13, NULL, 1},
			{'d', "a", 0755, 14, NULL, 1}, {'l', "b", 0, 6, "a", 0}}},
	{.what = "-K: a file never goes through a symlink, a symlink takes its place",
		.keep_dirlinks = true,
		.base = {{'d', "d", 0755, 1, NULL, 0}, {'l', "x", 0, 2, "d", 0},
			{'l', "y", 0, 3, "d", 0}},
		.folder = {{'f', "x", 0644, 11, "f", 0}, {'l', "y", 0, 12, "x", 0}},
		.expected = {{'d', "d", 0755, 1, NULL, 0}, {'f', "x", 0644, 11, "f", 1},
			{'l', "y", 0, 12, "x", 1}}},
	{.what = "-k: a symlink to a directory becomes one, others stay",
		.folder = {{'d', "real", 0750, 1, NULL, 0}, {'f', "real/f", 0644, 2, "f", 0},
			{'l', "link", 0, 3, "real", 0}, {'l', "twice", 0, 4, "./link/.", 0},
			{'l', "file", 0, 5, "real/f", 0}, {'l', "none", 0, 6, "missing", 0},
			{'l', "self", 0, 7, "self", 0}},
		.expected = {{'d', "real", 0750, 1, NULL, 1}, {'f', "real/f", 0644, 2, "f", 1},
			{'d', "link", 0750, 1, NULL, 1}, {'f', "link/f", 0644, 2, "f", 1},
			{'d', "twice", 0750, 1, NULL, 1}, {'f', "twice/f", 0644, 2, "f", 1},
			{'l', "file", 0, 5, "real/f", 1}, {'l', "none", 0, 6, "missing", 1},
			{'l', "self", 0, 7, "self", 1}}},
	{.what = "-K: a symlink to a directory stays one",
		.keep_dirlinks = true,
		.folder = {{'d', "real", 0750, 1, NULL, 0}, {'f', "real/f", 0644, 2, "f", 0},
			{'l', "link", 0, 3, "real", 0}, {'l', "up", 0, 4, "..", 0}},
		.expected = {{'d', "real", 0750, 1, NULL, 1}, {'f', "real/f", 0644, 2, "f", 1},
			{'l', "link", 0, 3, "real", 1}, {'l', "up", 0, 4, "..", 1}}},
	{.what = "-k: a symlink to a folder above it would never end",
		.folder = {{'d', "a", 0755, 1, NULL, 0}, {'d', "a/b", 0755, 2, NULL, 0},
			{'l', "a/b/up", 0, 3, "../../a", 0}},
		.error = "/a/b/up: the symlink leads to a folder that it is in"},
	{.what = "-k: two folders with symlinks to one another neither",
		.folder = {{'d', "a", 0755, 1, NULL, 0}, {'d', "b", 0755, 2, NULL, 0},
			{'l', "a/x", 0, 3, "../b", 0}, {'l', "b/y", 0, 4, "../a", 0}},
		.error = "/a/x/y: the symlink leads to a folder that it is in"},
	{.what = "names of any bytes",
		.folder = {{'f', "new\nline", 0644, 1, "a", 0},
			{'f', "\xff\x01 \\", 0644, 2, "b", 0}, {'d', "-rf *", 0755, 3, NULL, 0},
			{'f', "-rf */..x", 0644, 4, "c", 0}},
		.expected = {{'f', "new\nline", 0644, 1, "a", 1},
			{'f', "\xff\x01 \\", 0644, 2, "b", 1}, {'d', "-rf *", 0755, 3, NULL, 1},
			{'f', "-rf */..x", 0644, 4, "c", 1}}},
	{.what = "a socket is left out",
		.base = {{'f', "s", 0644, 1, "stays", 0}},
		.folder = {{'s', "s", 0, 1, NULL, 0}, {'f', "f", 0644, 2, "f", 0}},
		.expected = {{'f', "s", 0644, 1, "stays", 0}, {'f', "f", 0644, 2, "f", 1}},
		.warning = "/s: is a socket"},
	{.what = "also where a full directory has its name",
		.base = {{'d', "s", 0755, 1, NULL, 0}, {'f', "s/f", 0644, 2, "stays", 0}},
		.folder = {{'s', "s", 0, 1, NULL, 0}},
		.expected = {{'d', "s", 0755, 1, NULL, 0}, {'f', "s/f", 0644, 2, "stays", 0}},
		.warning = "/s: is a socket"},
};

/* Whether there is a line but for those of folders that get another mode. */
static bool has_other_line(const char *report)
{
	for (const char *line = report; *line != '\0'; line += strcspn(line, "\n") + 1) {
		cleanup_free char *text = xstrndup(line, strcspn(line, "\n"));
		if (strstr(text, "gives the image's folder") == NULL)
			return true;
	}
	return false;
}

static void check_copy(const struct copy_case *c)
{
	char *folder = folder_new();
	cleanup_tree struct tree *tree = tree_new();
	cleanup_free char *report = NULL;
	struct error err = {0};
	items_to_tree(c->base, tree);
	items_to_folder(c->folder, folder);
	int r = copy_in(tree, folder, c->keep_dirlinks, &report, &err);
	size_t folder_len = strlen(folder);
	folder_remove(folder);
	if (c->error != NULL) {
		if (r >= 0 || err.kind != ERROR_INPUT || strlen(err.message) < folder_len ||
			strncmp(err.message + folder_len, c->error, strlen(c->error)) != 0)
			fail_msg("%s: %d, %s", c->what, r, err.message);
		return;
	}
	if (r != 0)
		fail_msg("%s: %s", c->what, err.message);
	assert_tree_is(tree, c->expected, c->what);
	if (c->warning == NULL ? has_other_line(report) : strstr(report, c->warning) == NULL)
		fail_msg("%s: reported \"%s\"", c->what, report);
}

static void test_copy_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(copy_cases) / sizeof(copy_cases[0]); i++)
		check_copy(&copy_cases[i]);
}

/* With keep_modes the image's folders keep mode and owner, and nothing is told. */
static void test_keep_modes(void **state)
{
	static const struct item base[] = {{'d', "tmp", 01777, 1, NULL, 0}, {0}};
	static const struct item items[] = {
		{'d', "tmp", 0755, 11, NULL, 0}, {'d', "tmp/new", 0750, 12, NULL, 0}, {0}};
	static const struct item expected[] = {
		{'d', "tmp", 01777, 11, NULL, 0}, {'d', "tmp/new", 0750, 12, NULL, 1}, {0}};
	char *folder = folder_new();
	cleanup_tree struct tree *tree = tree_new();
	cleanup_close int fd = -1;
	cleanup_report struct report *report = report_to_file(&fd);
	const struct hostdir_options options = {
		.uid = NEW_UID, .gid = NEW_GID, .keep_modes = true, .report = report};
	struct error err = {0};
	(void)state;
	items_to_tree(base, tree);
	items_to_folder(items, folder);
	int r = hostdir_copy_in(tree, folder, &options, &err);
	folder_remove(folder);
	if (r != 0)
		fail_msg("%s", err.message);
	assert_tree_is(tree, expected, "keep_modes");
	cleanup_free char *text = reported(fd);
	assert_string_equal(text, "");
}

static void test_folders_in_order(void **state)
{
	(void)state;
	static const struct item one[] = {
		{'d', "d", 0700, 1, NULL, 0}, {'f', "d/f", 0600, 2, "one", 0}, {0}};
	static const struct item two[] = {
		{'d', "d", 0755, 3, NULL, 0}, {'f', "d/f", 0644, 4, "two", 0}, {0}};
	static const struct item both[] = {
		{'d', "d", 0755, 3, NULL, 1}, {'f', "d/f", 0644, 4, "two", 1}, {0}};
	cleanup_tree struct tree *tree = tree_new();
	const struct item *const folders[] = {one, two};
	for (size_t i = 0; i < 2; i++) {
		struct error err = {0};
		cleanup_free char *report = NULL;
		char *folder = folder_new();
		items_to_folder(folders[i], folder);
		assert_int_equal(copy_in(tree, folder, false, &report, &err), 0);
		folder_remove(folder);
	}
	assert_tree_is(tree, both, "two folders");
}

static void test_single_files(void **state)
{
	(void)state;
	static const struct item files[] = {{'f', "real", 0640, 1, "text", 0},
		{'l', "link", 0, 2, "real", 0}, {'l', "folder", 0, 3, ".", 0},
		{'p', "fifo", 0600, 4, NULL, 0}, {0}};
	static const struct item expected[] = {
		{'f', "link", 0640, 1, "text", 1}, {'f', "real", 0640, 1, "text", 1}, {0}};
	static const char *const bad[][2] = {{"missing", "No such file or directory"},
		{"fifo", "is neither a folder nor a regular file"}, {"real/", "Not a directory"},
		{"link/x", "Not a directory"}};
	cleanup_tree struct tree *tree = tree_new();
	struct error err = {0};
	char *folder = folder_new();
	items_to_folder(files, folder);
	static const char *const good[] = {"link", "folder/real"};
	for (size_t i = 0; i < 2; i++) {
		cleanup_free char *report = NULL;
		cleanup_free char *path = xasprintf("%s/%s", folder, good[i]);
		assert_int_equal(copy_in(tree, path, false, &report, &err), 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cleanup_free char *report = NULL;
		cleanup_free char *path = xasprintf("%s/%s", folder, bad[i][0]);
		assert_true(copy_in(tree, path, false, &report, &err) < 0);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_ptr_equal(strstr(err.message, path), err.message);
		assert_non_null(strstr(err.message, bad[i][1]));
	}
	assert_tree_is(tree, expected, "single files");
	folder_remove(folder);
}

/* Root can read everything, so that it looks as somebody else. */
static void test_unreadable(void **state)
{
	(void)state;
	static const struct item items[] = {
		{'d', "d", 0, 1, NULL, 0}, {'f', "f", 0, 2, "secret", 0}, {0}};
	static const char *const names[] = {"d", "f"};
	char *folder = folder_new();
	items_to_folder(items, folder);
	uid_t uid = geteuid();
	for (size_t i = 0; i < 2; i++) {
		cleanup_tree struct tree *tree = tree_new();
		cleanup_free char *report = NULL;
		cleanup_free char *path = xasprintf("%s/%s", folder, names[i]);
		struct error err = {0};
		if (uid == 0)
			assert_int_equal(seteuid(65534), 0);
		int single = copy_in(tree, path, false, &report, &err);
		if (uid == 0)
			assert_int_equal(seteuid(0), 0);
		cleanup_free char *expected = xasprintf("%s: cannot open: Permission denied", path);
		assert_true(single < 0);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_string_equal(err.message, expected);
		/* And as a part of the folder; the other one is out of the way by then. */
		if (uid == 0)
			assert_int_equal(seteuid(65534), 0);
		free(steal_ptr(&report));
		int whole = copy_in(tree, folder, false, &report, &err);
		if (uid == 0)
			assert_int_equal(seteuid(0), 0);
		assert_true(whole < 0);
		assert_string_equal(err.message, expected);
		if (i == 0)
			assert_int_equal(rmdir(path), 0);
	}
	folder_remove(folder);
}

/* It is not the user's file that cannot be written. */
static void test_no_room_for_the_copy(void **state)
{
	(void)state;
	static const struct item items[] = {{'f', "f", 0644, 1, "more than fits", 0}, {0}};
	char *folder = folder_new();
	cleanup_free char *file = xasprintf("/var/tmp: %s/f: cannot write: ", folder);
	cleanup_tree struct tree *tree = tree_new();
	cleanup_free char *report = NULL;
	struct error err = {0};
	struct rlimit limit;
	items_to_folder(items, folder);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	const struct rlimit low = {.rlim_cur = 4, .rlim_max = limit.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	int r = copy_in(tree, folder, false, &report, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	signal(SIGXFSZ, SIG_DFL);
	folder_remove(folder);
	assert_true(r < 0);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_ptr_equal(strstr(err.message, "copying to a temporary file"), err.message);
	assert_non_null(strstr(err.message, file));
}

static void test_holes_are_kept(void **state)
{
	(void)state;
	enum { SIZE = 64 << 20, PART = 1 << 20 };
	char *folder = folder_new();
	cleanup_free char *path = xasprintf("%s/sparse", folder);
	cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	cleanup_free char *part = xmalloc(PART);
	memset(part, 'x', PART);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, part, PART, 16 << 20), PART);
	assert_int_equal(pwrite(fd, "end", 3, SIZE - 3), 3);
	cleanup_tree struct tree *tree = tree_new();
	cleanup_free char *report = NULL;
	struct error err = {0};
	assert_int_equal(copy_in(tree, folder, false, &report, &err), 0);
	const struct inode *inode = tree_walk(tree, "sparse")->inode;
	assert_int_equal(inode->size, SIZE);
	uint64_t held = 0;
	for (uint32_t i = 0; i < inode->segment_count; i++)
		held += inode->segments[i].length;
	if (lseek(fd, 0, SEEK_DATA) > 0)
		assert_in_range(held, PART + 3, PART + (1 << 18));
	for (uint64_t at = 0; at < SIZE; at += PART) {
		cleanup_free char *other = xmalloc(PART);
		assert_int_equal(inode_read(inode, other, PART, at, &err), 0);
		assert_int_equal(pread(fd, part, PART, (off_t)at), PART);
		assert_memory_equal(part, other, PART);
	}
	folder_remove(folder);
}

static void test_xattrs(void **state)
{
	(void)state;
	/* A valid access ACL: owner rw, user 1000 r, group r, mask r, others none. */
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 232,
		3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0,
		0, 255, 255, 255, 255};
	static const struct item items[] = {{'d', "d", 0755, 1, NULL, 0},
		{'f', "f", 0640, 2, "f", 0}, {'l', "l", 0, 3, "d", 0}, {0}};
	char *folder = folder_new();
	items_to_folder(items, folder);
	cleanup_free char *dir = xasprintf("%s/d", folder);
	cleanup_free char *file = xasprintf("%s/f", folder);
	if (setxattr(dir, "user.on.dir", "\0x", 2, 0) < 0) {
		folder_remove(folder);
		skip_test("user-xattrs");
	}
	assert_int_equal(setxattr(file, "user.empty", "", 0, 0), 0);
	bool has_acl = setxattr(file, "system.posix_acl_access", acl, sizeof(acl), 0) == 0;
	/* Root alone can set these; trusted.* stays out even then. */
	setxattr(file, "trusted.x", "y", 1, 0);
	cleanup_tree struct tree *tree = tree_new();
	cleanup_free char *report = NULL;
	struct error err = {0};
	assert_int_equal(copy_in(tree, folder, false, &report, &err), 0);
	static const char *const dirs[] = {"d", "l"}; /* -k follows l */
	for (size_t i = 0; i < 2; i++) {
		const struct xattrs *x = tree_walk(tree, dirs[i])->inode->xattrs;
		assert_non_null(x);
		assert_int_equal(x->count, 1);
		assert_string_equal(x->items[0].name, "user.on.dir");
		assert_int_equal(x->items[0].len, 2);
		assert_memory_equal(x->items[0].value, "\0x", 2);
	}
	const struct xattrs *x = tree_walk(tree, "f")->inode->xattrs;
	assert_non_null(x);
	assert_int_equal(x->count, has_acl ? 2 : 1);
	assert_string_equal(x->items[x->count - 1].name, "user.empty");
	assert_int_equal(x->items[x->count - 1].len, 0);
	if (has_acl) {
		assert_string_equal(x->items[0].name, "system.posix_acl_access");
		assert_int_equal(x->items[0].len, sizeof(acl));
		assert_memory_equal(x->items[0].value, acl, sizeof(acl));
	}
	folder_remove(folder);
}

/*
 * Far deeper than a path may be long and than descriptors may be open, with a symlink that is
 * followed in every directory, and all of it again through another one.
 */
static void test_deep_folder(void **state)
{
	(void)state;
	enum { DEPTH = 1500 };
	char *folder = folder_new();
	cleanup_free char *aside = xasprintf("%s/empty", folder);
	cleanup_free char *again = xasprintf("%s/link", folder);
	assert_int_equal(mkdir(aside, 0755), 0);
	assert_int_equal(symlink("dd/dd", again), 0);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DEPTH; i++) {
		assert_int_equal(mkdirat(fd, "dd", 0755), 0);
		int next = openat(fd, "dd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		assert_int_equal(symlinkat(aside, next, "a"), 0);
		close(fd);
		fd = next;
	}
	struct rlimit old, low;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){.rlim_cur = 100, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	cleanup_tree struct tree *tree = tree_new();
	cleanup_free char *report = NULL;
	struct error err = {0};
	int r = copy_in(tree, folder, false, &report, &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	if (r != 0)
		fail_msg("%s", err.message);
	/* The root, "empty", "link" with its "a", and what is below them. */
	assert_int_equal(tree_count(tree), 4 + 2 * DEPTH + 2 * (DEPTH - 2));
	struct dentry *d = tree_root(tree);
	for (int i = 0; i < DEPTH; i++) {
		d = tree_find(tree, d, "dd", 2);
		assert_non_null(d);
		const struct dentry *a = tree_find(tree, d, "a", 1);
		assert_non_null(a);
		assert_true(inode_is_dir(a->inode));
	}
	/* Upwards again: nftw cannot come here by a path. */
	for (int i = 0; i < DEPTH; i++) {
		unlinkat(fd, "a", 0);
		int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = up;
		assert_int_equal(unlinkat(fd, "dd", AT_REMOVEDIR), 0);
	}
	close(fd);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy_table),
		cmocka_unit_test(test_keep_modes),
		cmocka_unit_test(test_folders_in_order),
		cmocka_unit_test(test_single_files),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_no_room_for_the_copy),
		cmocka_unit_test(test_holes_are_kept),
		cmocka_unit_test(test_xattrs),
		cmocka_unit_test(test_deep_folder),
	};
	return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
