#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "hostdir/workdir.h"
#include "hostfiles.h"
#include "random_tree.h"
#include "skips.h"
#include "support/buffer.h"
#include "support/memory.h"
#include "tree/changes.h"
#include "tree_text.h"

struct script_case {
	const char *what;
	struct item base[14];
	struct item layer[14]; /* changes to the base before the script */
	const char *script;
	struct item expected[16]; /* the whole tree after it */
	const char *output;       /* all that is reported; NULL: nothing */
};

/* What the script makes gets its times set, so that they can be compared. */
#define T(path, seconds) "touch -hd @" #seconds ".000000007 " path "\n"

#define MIXED_BASE                                                                                 \
	{                                                                                          \
		{'d', ".", 0755, 1, NULL, 0}, {'d', "etc", 0755, 2, NULL, 0},                      \
			{'f', "etc/kept", 0600, 3, "kept", 0},                                     \
			{'f', "etc/changed", 0640, 4, "old", 0},                                   \
			{'f', "etc/deleted", 0644, 5, "gone", 0}, {'d', "usr", 0755, 6, NULL, 0},  \
			{'f', "usr/f", 0644, 7, "f", 0},                                           \
	}
#define MIXED_LAYER                                                                                \
	{                                                                                          \
		{'f', "etc/changed", 0440, 14, "new", 0}, {'w', "etc/deleted", 0, 0, NULL, 0},     \
			{'f', "etc/added", 04755, 15, "added", 0},                                 \
			{'h', "etc/linked", 0, 0, "etc/added", 0},                                 \
			{'c', "etc/null", 0666, 16, NULL, 0},                                      \
			{'p', "etc/fifo", 0600, 17, NULL, 0},                                      \
			{'l', "etc/link", 0, 18, "/etc/passwd", 0},                                \
			{'d', "opt", 0500, 19, NULL, 0}, {'f', "opt/f", 0000, 20, "opt", 0},       \
	}

static const struct script_case script_cases[] = {
	{.what = "left alone: everything stays as it is",
		.base = MIXED_BASE,
		.layer = MIXED_LAYER,
		.script = "ls -d etc/* opt/*; cat etc/added etc/changed opt/f",
		.output = "etc/added\netc/changed\netc/fifo\netc/link\netc/linked\nopt/"
			  "f\naddednewopt",
		.expected = {{'d', ".", 0755, 1, NULL, 0}, {'d', "etc", 0755, 2, NULL, 0},
			{'f', "etc/kept", 0600, 3, "kept", 0},
			{'f', "etc/changed", 0440, 14, "new", 0},
			{'f', "etc/added", 04755, 15, "added", 0},
			{'h', "etc/linked", 0, 0, "etc/added", 0},
			{'c', "etc/null", 0666, 16, NULL, 0}, {'p', "etc/fifo", 0600, 17, NULL, 0},
			{'l', "etc/link", 0, 18, "/etc/passwd", 0}, {'d', "opt", 0500, 19, NULL, 0},
			{'f', "opt/f", 0000, 20, "opt", 0}, {'d', "usr", 0755, 6, NULL, 0},
			{'f', "usr/f", 0644, 7, "f", 0}}},
	{.what = "what is removed shows the base again; what was deleted stays deleted",
		.base = MIXED_BASE,
		.layer = MIXED_LAYER,
		.script = "rm -rf etc opt\n" T(".", 1),
		.expected = {{'d', ".", 0755, 1, NULL, 0}, {'d', "etc", 0755, 2, NULL, 0},
			{'f', "etc/kept", 0600, 3, "kept", 0},
			{'f', "etc/changed", 0640, 4, "old", 0}, {'d', "usr", 0755, 6, NULL, 0},
			{'f', "usr/f", 0644, 7, "f", 0}}},
	{.what = "written to: content, mode and time are new, the owner stays",
		.layer = {{'f', "a", 0440, 11, "one", 0}, {'f', "b", 0644, 12, "two", 0},
			{'f', "c", 0600, 13, "three", 0}, {'f', "d", 0644, 14, "four", 0}},
		.script = "echo more >> a; printf owt > b; chmod 4711 c; printf 'FOUR' > d\n" T(
			"a", 21) T("b", 22) T("c", 23) T("d", 24) T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'f', "a", 0440, 21, "onemore\n", 0},
			{'f', "b", 0644, 22, "owt", 0}, {'f', "c", 04711, 23, "three", 0},
			{'f', "d", 0644, 24, "FOUR", 0}}},
	{.what = "the same size and time, other content",
		.layer = {{'f', "a", 0644, 11, "one", 0}},
		.script = "printf eno > a\n" T("a", 11) T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'f', "a", 0644, 11, "eno", 0}}},
	{.what = "mode only, of files and directories",
		.layer = {{'f', "a", 0644, 11, "one", 0}, {'d', "d", 0755, 12, NULL, 0},
			{'f', "d/f", 0644, 13, "f", 0}, {'f', "z", 0644, 14, "z", 0}},
		.script = "chmod 600 a; chmod 1777 d; chmod 0 z; chmod 0751 .\n" T(".", 0),
		.expected = {{'d', ".", 0751, 0, NULL, 0}, {'f', "a", 0600, 11, "one", 0},
			{'d', "d", 01777, 12, NULL, 0}, {'f', "d/f", 0644, 13, "f", 0},
			{'f', "z", 0000, 14, "z", 0}}},
	{.what = "another file in its place, as sed -i leaves it, keeps owner and mode",
		.layer = {{'f', "a", 0440, 11, "one\n", 0}, {'d', "d", 0555, 12, NULL, 0},
			{'f', "d/a", 0640, 13, "one\n", 0}},
		.script = "sed -i s/one/two/ a d/a\n" T("a", 21) T("d/a", 22) T("d", 23) T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'f', "a", 0440, 21, "two\n", 0},
			{'d', "d", 0555, 23, NULL, 0}, {'f', "d/a", 0640, 22, "two\n", 0}}},
	{.what = "what is made belongs to the owner of the spec; umask is 022",
		.base = {{'d', "d", 0700, 1, NULL, 0}, {'f', "f", 0600, 2, "f", 0}},
		.layer = {{'f', "seen", 0644, 11, "seen", 0}},
		.script = "umask; mkdir d; echo > d/x; ln -s x d/l; mkfifo d/p; echo new > f\n" T(
			"d/x", 21) T("d/l", 22) T("d/p", 23) T("d", 24) T("f", 25) T(".", 0),
		.output = "0022\n",
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'d', "d", 0755, 24, NULL, 1},
			{'f', "d/x", 0644, 21, "\n", 1}, {'l', "d/l", 0, 22, "x", 1},
			{'p', "d/p", 0644, 23, NULL, 1}, {'f', "f", 0644, 25, "new\n", 1},
			{'f', "seen", 0644, 11, "seen", 0}}},
	{.what = "moved: the same file elsewhere; a number that is used again is another file",
		.layer = {{'f', "a", 0440, 11, "one", 0}, {'d', "d", 0511, 12, NULL, 0},
			{'f', "d/f", 0644, 13, "f", 0}, {'f', "gone", 0644, 14, "gone", 0}},
		.script = "mv a b; mv d e; rm gone; printf made > made\n" T("made", 21) T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'f', "b", 0440, 11, "one", 0},
			{'d', "e", 0511, 12, NULL, 0}, {'f', "e/f", 0644, 13, "f", 0},
			{'f', "made", 0644, 21, "made", 1}}},
	{.what = "a directory of the base that was laid out, moved: the base's shows again",
		.base = {{'d', "d", 0755, 1, NULL, 0}, {'f', "d/f", 0644, 2, "f", 0}},
		.layer = {{'f', "d/n", 0644, 11, "n", 0}},
		.script = "mv d e\n" T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'d', "d", 0755, 1, NULL, 0},
			{'f', "d/f", 0644, 2, "f", 0}, {'d', "e", 0755, 1, NULL, 0},
			{'f', "e/n", 0644, 11, "n", 0}}},
	{.what = "replaced by other types",
		.base = {{'d', "dir", 0755, 1, NULL, 0}, {'f', "dir/f", 0644, 2, "f", 0},
			{'f', "file", 0644, 3, "file", 0}},
		.layer = {{'f', "dir/n", 0644, 11, "n", 0}, {'f', "file", 0644, 12, "new", 0},
			{'l', "link", 0, 13, "x", 0}},
		.script =
			"rm -r dir file link; echo > dir; mkdir file; ln -s y file/l; mkdir "
			"link\n" T("file/l", 20) T("dir", 21) T("file", 22) T("link", 23) T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'f', "dir", 0644, 21, "\n", 1},
			{'d', "file", 0755, 22, NULL, 1}, {'l', "file/l", 0, 20, "y", 1},
			{'d', "link", 0755, 23, NULL, 1}}},
	{.what = "a file that took a directory's place, removed: the base's directory, whole",
		.base = {{'d', "d", 0755, 1, NULL, 0}, {'f', "d/f", 0644, 2, "f", 0}},
		.layer = {{'f', "d", 0644, 11, "file", 0}},
		.script = "rm d\n" T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'d', "d", 0755, 1, NULL, 0},
			{'f', "d/f", 0644, 2, "f", 0}}},
	{.what = "a deleted directory, made again by the script, is empty",
		.base = {{'d', "d", 0755, 1, NULL, 0}, {'f', "d/f", 0644, 2, "f", 0}},
		.layer = {{'w', "d", 0, 0, NULL, 0}, {'f', "x", 0644, 11, "x", 0}},
		.script = "mkdir d; echo > d/n\n" T("d/n", 21) T("d", 22) T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'d', "d", 0755, 22, NULL, 1},
			{'f', "d/n", 0644, 21, "\n", 1}, {'f', "x", 0644, 11, "x", 0}}},
	{.what = "hard links: written through one name, taken apart, made",
		.layer = {{'f', "a", 0644, 11, "one", 0}, {'h', "b", 0, 0, "a", 0},
			{'f', "c", 0644, 12, "two", 0}, {'h', "d", 0, 0, "c", 0},
			{'f', "e", 0644, 13, "three", 0}},
		.script = "echo >> b; rm d; printf x > d; ln e f; printf y > g; ln g h\n" T("a", 21)
			T("d", 22) T("g", 23) T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'f', "a", 0644, 21, "one\n", 0},
			{'h', "b", 0, 0, "a", 0}, {'f', "c", 0644, 12, "two", 0},
			{'f', "d", 0644, 22, "x", 0}, {'f', "e", 0644, 13, "three", 0},
			{'h', "f", 0, 0, "e", 0}, {'f', "g", 0644, 23, "y", 1},
			{'h', "h", 0, 0, "g", 0}}},
	{.what = "device nodes stay, give way, and go with their directory",
		.layer = {{'d', "a", 0755, 11, NULL, 0}, {'c', "a/x", 0600, 12, NULL, 0},
			{'c', "a/y", 0600, 13, NULL, 0}, {'c', "a/z", 0600, 14, NULL, 0},
			{'d', "b", 0755, 15, NULL, 0}, {'c', "b/x", 0600, 16, NULL, 0}},
		.script = "test ! -e a/x; echo > a/y; mkdir a/z; rm -r b\n" T("a/y", 21)
			T("a/z", 22) T("a", 23) T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'d', "a", 0755, 23, NULL, 0},
			{'c', "a/x", 0600, 12, NULL, 0}, {'f', "a/y", 0644, 21, "\n", 1},
			{'d', "a/z", 0755, 22, NULL, 1}}},
	{.what = "a directory of mode 0 with names of any bytes in it",
		.layer = {{'d', "d\n", 0000, 11, NULL, 0}, {'f', "d\n/\xff *\n", 0000, 12, "x", 0}},
		.script =
			"mkdir -p $'new\\n/-rf *'; echo > $'new\\n/-rf */f'; chmod 0 $'new\\n/-rf "
			"*/f'\n" T("$'new\\n/-rf */f'", 21) T("$'new\\n/-rf *'", 22) T("$'new\\n'",
				23) "chmod 0 $'new\\n/-rf *'; chmod 100 $'new\\n'\n" T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'d', "d\n", 0000, 11, NULL, 0},
			{'f', "d\n/\xff *\n", 0000, 12, "x", 0}, {'d', "new\n", 0100, 23, NULL, 1},
			{'d', "new\n/-rf *", 0000, 22, NULL, 1},
			{'f', "new\n/-rf */f", 0000, 21, "\n", 1}}},
	{.what = "times far away come back",
		.layer = {{'f', "a", 0644, -5, "a", 0}, {'f', "b", 0644, 40000000000, "b", 0},
			{'l', "c", 0, -6, "c", 0}},
		.script = "true",
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'f', "a", 0644, -5, "a", 0},
			{'f', "b", 0644, 40000000000, "b", 0}, {'l', "c", 0, -6, "c", 0}}},
	{.what = "standard input is empty, $0 has a name, both outputs are passed on",
		.script = "cat; echo \"$0\"; printf err >&2",
		.expected = {{'d', ".", 0755, 0, NULL, 0}},
		.output = "extraCommands\nerr"},
	{.what = "a directory in the place of a symlink of the base is told of",
		.base = {{'d', "usr", 0755, 1, NULL, 0}, {'l', "bin", 0, 2, "usr", 0}},
		.script = "mkdir bin\n" T("bin", 21) T(".", 0),
		.expected = {{'d', ".", 0755, 0, NULL, 0}, {'d', "usr", 0755, 1, NULL, 0},
			{'d', "bin", 0755, 21, NULL, 1}},
		.output = "layervm: warning: /bin: the script's folder takes the place of the "
			  "image's "
			  "symlink /bin -> usr\n"},
};

static void make_tree(const struct script_case *c, struct tree *tree)
{
	static const struct item root[] = {{'d', ".", 0755, 0, NULL, 0}, {0}};
	items_to_tree(root, tree);
	items_to_tree(c->base, tree);
	tree_freeze(tree);
	items_to_tree(c->layer, tree);
}

static void check_script(const struct script_case *c)
{
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_free char *report = NULL;
	struct error err = {0};
	make_tree(c, tree);
	if (run_script(tree, c->script, &report, &err) != 0)
		fail_msg("%s: %s\n%s", c->what, err.message, report);
	assert_tree_is(tree, c->expected, c->what);
	const char *output = c->output != NULL ? c->output : "";
	size_t len = strlen(output);
	/* A report ends its last line. */
	if (strncmp(report, output, len) != 0 || strcspn(report + len, "\n") != 0)
		fail_msg("%s: reported \"%s\"", c->what, report);
}

static void test_script_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(script_cases) / sizeof(script_cases[0]); i++)
		check_script(&script_cases[i]);
	assert_nothing_left();
}

/* The tree and what is marked in it, in words: what a layer would hold. */
static char *layer_of(struct tree *tree)
{
	cleanup_buffer struct buffer text = {0};
	struct changes changes;
	struct error err;
	assert_int_equal(changes_mark(tree, &changes, &err), 0);
	const struct dentry *root = tree_root(tree);
	for (const struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		cleanup_free char *path = tree_path(d);
		if (d->flags & (DENTRY_WRITE | DENTRY_WHITEOUT))
			buffer_printf(&text, "%s %d\n", path, d->flags);
	}
	cleanup_free char *entries = tree_text(tree);
	buffer_add_text(&text, entries);
	return buffer_steal_text(&text);
}

/* A script that does nothing changes nothing; one that removes all leaves what was deleted. */
static void test_random_trees(void **state)
{
	(void)state;
	struct random random = {.state = random_seed()};
	for (unsigned round = 0; round < 25; round++) {
		cleanup_tree struct tree *tree = empty_tree();
		cleanup_free char *first_report = NULL;
		cleanup_free char *second_report = NULL;
		struct error err = {0};
		random_changes(&random, tree, random_below(&random, 60));
		tree_freeze(tree);
		random_changes(&random, tree, random_below(&random, 60));
		cleanup_free char *before = layer_of(tree);
		if (run_script(tree, "true", &first_report, &err) != 0)
			fail_msg("%s", err.message);
		cleanup_free char *after = layer_of(tree);
		if (strcmp(before, after) != 0)
			fail_msg("it was\n%sand is\n%s", before, after);
		if (run_script(tree, "rm -rf ./* ./.[!.]* ./..?*", &second_report, &err) != 0)
			fail_msg("%s", err.message);
		const struct dentry *root = tree_root(tree);
		struct changes changes;
		assert_int_equal(changes_mark(tree, &changes, &err), 0);
		for (const struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
			/* The root's time is new; its device nodes are not the script's to remove.
			 */
			bool device =
				d->inode != NULL && d->parent == root && inode_is_device(d->inode);
			/* Of hard links some of which were deleted, the layer holds the others. */
			if ((d->flags & DENTRY_WRITE) && d->inode != d->base && d != root &&
				!device)
				fail_msg("%s is still in the layer:\n%s", d->name, before);
		}
	}
}

static void test_xattrs(void **state)
{
	(void)state;
	/* owner rw, user 1000 rw, group r, mask rw, others none */
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 232,
		3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 0,
		0, 255, 255, 255, 255};
	static const uint8_t capability[20] = {1, 0, 0, 2};
	static const struct item items[] = {{'f', "alone", 0755, 1, "a", 0},
		{'f', "chmod", 0660, 2, "b", 0}, {'f', "written", 0755, 3, "c", 0}, {0}};
	const struct xattr x[] = {{"security.capability", capability, sizeof(capability)},
		{"system.posix_acl_access", acl, sizeof(acl)}, {"user.x", "y", 1}};
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_free char *report = NULL;
	struct error err = {0};
	items_to_tree(items, tree);
	for (size_t i = 0; items[i].type != 0; i++)
		tree_walk(tree, items[i].path)->inode->xattrs = tree_xattrs(tree, x, 3);
	assert_int_equal(run_script(tree, "chmod 604 chmod; echo >> written", &report, &err), 0);

	static const struct {
		const char *path;
		uint32_t count;
		uint8_t perms[5]; /* of the ACL's entries */
	} table[] = {{"alone", 3, {6, 6, 4, 6, 0}}, {"chmod", 3, {6, 6, 4, 0, 4}},
		{"written", 2, {6, 6, 4, 6, 0}}};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct xattrs *got = tree_walk(tree, table[i].path)->inode->xattrs;
		assert_non_null(got);
		assert_int_equal(got->count, table[i].count);
		assert_string_equal(got->items[got->count - 1].name, "user.x");
		const struct xattr *a = &got->items[got->count - 2];
		assert_string_equal(a->name, "system.posix_acl_access");
		assert_int_equal(a->len, sizeof(acl));
		for (size_t k = 0; k < 5; k++)
			assert_int_equal(
				((const uint8_t *)a->value)[4 + 8 * k + 2], table[i].perms[k]);
	}
}

static void test_user_xattrs_follow_the_script(void **state)
{
	(void)state;
	static const struct item items[] = {
		{'f', "f", 0644, 1, "a", 0}, {'d', "d", 0755, 2, NULL, 0}, {0}};
	const struct xattr x = {"user.x", "y", 1};
	char *folder = folder_new();
	bool has = setxattr(folder, "user.x", "y", 1, 0) == 0;
	folder_remove(folder);
	if (!has || system("command -v setfattr >/dev/null") != 0)
		skip_test(has ? "setfattr" : "user-xattrs");
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_free char *report = NULL;
	struct error err = {0};
	items_to_tree(items, tree);
	tree_walk(tree, "f")->inode->xattrs = tree_xattrs(tree, &x, 1);
	tree_walk(tree, "d")->inode->xattrs = tree_xattrs(tree, &x, 1);
	assert_int_equal(
		run_script(tree, "setfattr -x user.x f; setfattr -n user.x -v z d", &report, &err),
		0);
	assert_null(tree_walk(tree, "f")->inode->xattrs);
	assert_int_equal(tree_walk(tree, "f")->inode->uid, 10);
	const struct xattrs *got = tree_walk(tree, "d")->inode->xattrs;
	assert_int_equal(got->count, 1);
	assert_memory_equal(got->items[0].value, "z", 1);
}

/* The same inode as a directory of the base and, under another name, of the current state. */
static void test_moved_directory_of_the_base(void **state)
{
	(void)state;
	static const struct item base[] = {{'d', "a", 0755, 1, NULL, 0}, {0}};
	static const struct item layer[] = {{'f', "a", 0644, 2, "file", 0}, {0}};
	static const struct item expected[] = {{'d', ".", 0755, 0, NULL, 0},
		{'d', "a", 0755, 1, NULL, 0}, {'d', "b", 0755, 1, NULL, 0}, {0}};
	cleanup_tree struct tree *tree = tree_new();
	cleanup_free char *report = NULL;
	struct error err = {0};
	items_to_tree(expected, tree);
	tree_unlink(tree, tree_walk(tree, "b"));
	items_to_tree(base, tree);
	tree_freeze(tree);
	struct inode *moved = tree_walk(tree, "a")->inode;
	items_to_tree(layer, tree);
	tree_link(tree, tree_root(tree), "b", 1, moved);
	assert_int_equal(run_script(tree, "rm a\n" T(".", 0), &report, &err), 0);
	assert_tree_is(tree, expected, "the base's directory shows again");
}

/* A tree deeper than paths are long, hard links from its end to its start. */
static void test_deep_tree(void **state)
{
	(void)state;
	enum { DEPTH = 1500 };
	cleanup_tree struct tree *tree = empty_tree();
	cleanup_free char *report = NULL;
	struct error err = {0};
	struct dentry *d = tree_root(tree);
	for (int i = 0; i < DEPTH; i++)
		d = tree_link(tree, d, "dd", 2, tree_inode_new(tree, S_IFDIR | 0555));
	struct inode *file = tree_inode_new(tree, S_IFREG | 0644);
	tree_link(tree, d, "a", 1, file);
	tree_link(tree, d, "b", 1, file);
	tree_link(tree, tree_root(tree), "z", 1, file);
	cleanup_free char *before = layer_of(tree);
	if (run_script(tree, "true", &report, &err) != 0)
		fail_msg("%s", err.message);
	cleanup_free char *after = layer_of(tree);
	assert_string_equal(after, before);
	assert_null(strstr(report, "warning"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_script_table),
		cmocka_unit_test(test_random_trees),
		cmocka_unit_test(test_xattrs),
		cmocka_unit_test(test_user_xattrs_follow_the_script),
		cmocka_unit_test(test_moved_directory_of_the_base),
		cmocka_unit_test(test_deep_tree),
	};
	return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
