/* In what a name differs between the two states of a tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "support/memory.h"
#include "tree/changes.h"

/* Content, in a source of its own each time. */
static void set_content(struct tree *tree, struct inode *inode, const char *text)
{
	size_t len = strlen(text);
	inode_set_data(tree, inode, tree_own_source(tree, source_from_bytes(text, len)), 0, len);
}

/* An inode in a few words. */
struct shape {
	uint32_t mode, uid, gid;
	int64_t mtime;
	uint32_t nsec;
	const char *text; /* content or target */
	uint32_t major, minor;
	const char *attribute; /* value of user.a; NULL: no such */
};

static struct inode *make(struct tree *tree, const struct shape *shape)
{
	struct inode *inode = tree_inode_new(tree, shape->mode);
	inode->uid = shape->uid;
	inode->gid = shape->gid;
	inode->mtime_sec = shape->mtime;
	inode->mtime_nsec = shape->nsec;
	if (S_ISREG(shape->mode)) {
		set_content(tree, inode, shape->text);
	} else if (S_ISLNK(shape->mode)) {
		inode->target = shape->text;
		inode->size = strlen(shape->text);
	} else if (S_ISCHR(shape->mode)) {
		inode->device.major = shape->major;
		inode->device.minor = shape->minor;
	}
	if (shape->attribute != NULL)
		inode->xattrs = tree_xattrs(tree,
			&(struct xattr){.name = "user.a",
				.value = shape->attribute,
				.len = (uint32_t)strlen(shape->attribute)},
			1);
	return inode;
}

struct compare_case {
	const char *name;
	struct shape old, new;
	unsigned expected;
};

#define FILE_ .mode = S_IFREG | 0644
#define LINK_ .mode = S_IFLNK | 0777
#define CHAR_ .mode = S_IFCHR | 0600

static const struct compare_case cases[] = {
	{"the same", {FILE_, .text = "a"}, {FILE_, .text = "a"}, 0},
	{"mode", {FILE_, .text = "a"}, {.mode = S_IFREG | 0600, .text = "a"}, DIFFERENCE_MODE},
	{"setuid", {FILE_, .text = "a"}, {.mode = S_IFREG | 04644, .text = "a"}, DIFFERENCE_MODE},
	{"uid", {FILE_, .text = "a"}, {FILE_, .text = "a", .uid = 1}, DIFFERENCE_OWNER},
	{"gid", {FILE_, .text = "a"}, {FILE_, .text = "a", .gid = 1}, DIFFERENCE_OWNER},
	{"size", {FILE_, .text = "a"}, {FILE_, .text = "ab"}, DIFFERENCE_SIZE},
	{"content", {FILE_, .text = "a"}, {FILE_, .text = "b"}, DIFFERENCE_CONTENT},
	{"mtime", {FILE_, .text = "a"}, {FILE_, .text = "a", .mtime = -1}, DIFFERENCE_MTIME},
	{"nanosecond", {FILE_, .text = "a"}, {FILE_, .text = "a", .nsec = 1}, DIFFERENCE_MTIME},
	{"content and mtime", {FILE_, .text = "a"}, {FILE_, .text = "b", .mtime = 1},
		DIFFERENCE_CONTENT | DIFFERENCE_MTIME},
	{"target", {LINK_, .text = "a"}, {LINK_, .text = "b"}, DIFFERENCE_TARGET},
	{"longer target", {LINK_, .text = "a"}, {LINK_, .text = "ab"}, DIFFERENCE_TARGET},
	{"major", {CHAR_}, {CHAR_, .major = 1}, DIFFERENCE_DEVICE},
	{"minor", {CHAR_}, {CHAR_, .minor = 1}, DIFFERENCE_DEVICE},
	{"attribute added", {FILE_, .text = "a"}, {FILE_, .text = "a", .attribute = ""},
		DIFFERENCE_XATTRS},
	{"attribute changed", {FILE_, .text = "a", .attribute = "x"},
		{FILE_, .text = "a", .attribute = "y"}, DIFFERENCE_XATTRS},
	{"type", {FILE_, .text = "a"}, {.mode = S_IFIFO | 0644}, DIFFERENCE_TYPE},
	{"type and owner", {FILE_, .text = "a"}, {LINK_, .text = "a", .uid = 1},
		DIFFERENCE_TYPE | DIFFERENCE_MODE | DIFFERENCE_OWNER},
};

static void test_compare(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct compare_case *c = &cases[i];
		cleanup_tree struct tree *tree = tree_new();
		unsigned found = ~0u;
		struct error err;
		struct dentry *d = tree_link(tree, tree_root(tree), "x", 1, make(tree, &c->old));
		tree_freeze(tree);
		tree_relink(tree, d, make(tree, &c->new));
		assert_int_equal(changes_compare(d, &found, &err), 0);
		if (found != c->expected)
			fail_msg("%s: expected %#x, found %#x", c->name, c->expected, found);
	}
}

/* One set of names is no difference; a name more or less is one, of all of them. */
static void test_names(void **state)
{
	(void)state;
	const struct shape shape = {FILE_, .text = "a"};
	cleanup_tree struct tree *tree = tree_new();
	struct dentry *root = tree_root(tree);
	unsigned found = ~0u;
	struct error err;
	struct inode *old = make(tree, &shape);
	struct dentry *a = tree_link(tree, root, "a", 1, old);
	struct dentry *b = tree_link(tree, root, "b", 1, old);
	tree_freeze(tree);
	struct inode *new = make(tree, &shape);
	tree_relink(tree, a, new);
	tree_relink(tree, b, new);
	assert_int_equal(changes_compare(a, &found, &err), 0);
	assert_int_equal(found, 0);
	tree_unlink(tree, b);
	assert_int_equal(changes_compare(a, &found, &err), 0);
	assert_int_equal(found, DIFFERENCE_NAMES);
	/* As many names, but another inode behind one of them. */
	tree_link(tree, root, "c", 1, new);
	assert_int_equal(changes_compare(a, &found, &err), 0);
	assert_int_equal(found, DIFFERENCE_NAMES);
}

/* A directory's only name is its own, and the root's mtime is no difference. */
static void test_root(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	unsigned found = ~0u;
	struct error err;
	tree_freeze(tree);
	struct inode *root = tree_inode_new(tree, S_IFDIR | 0755);
	root->mtime_sec = 5;
	tree_relink(tree, tree_root(tree), root);
	assert_int_equal(changes_compare(tree_root(tree), &found, &err), 0);
	assert_int_equal(found, 0);
	root->mode = S_IFDIR | 0700;
	assert_int_equal(changes_compare(tree_root(tree), &found, &err), 0);
	assert_int_equal(found, DIFFERENCE_MODE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_root),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
