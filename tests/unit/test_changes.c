/* In what a name differs between the two states of a tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "mark_oracle.h"
#include "random_tree.h"
#include "support/memory.h"
#include "tree/changes.h"
#include "tree_text.h"

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

/* New directories as those that are made for the guest, some inside others. */
static void add_scaffold(struct random *random, struct tree *tree)
{
	struct dentry *dir = tree_root(tree);
	for (unsigned depth = 0; depth < 3; depth++) {
		const char name = (char)('a' + random_below(random, 10));
		if (tree_find(tree, dir, &name, 1) != NULL)
			continue;
		dir = tree_link(tree, dir, &name, 1, tree_inode_new(tree, S_IFDIR | 0755));
		dir->flags |= DENTRY_SCAFFOLD;
	}
}

/*
 * Marks are those that a look at the whole tree gives: before any base state too, and again
 * after more changes, after all was marked, and for a new base state.
 */
static void test_random_marks(void **state)
{
	uint64_t seed = *(const uint64_t *)*state;
	struct random random = {.state = seed};
	struct changes changes;
	for (unsigned round = 0; round < 300; round++) {
		cleanup_tree struct tree *tree = tree_new();
		random_changes(&random, tree, random_below(&random, 60));
		for (unsigned step = 0; step < 6; step++) {
			switch (random_below(&random, 6)) {
			case 0:
				tree_freeze(tree);
				break;
			case 1:
				changes_mark_all(tree);
				break;
			case 2:
				add_scaffold(&random, tree);
				break;
			default:
				random_changes(&random, tree, random_below(&random, 20));
			}
			check_mark(tree, &changes);
		}
	}
}

/* What was marked before is nothing any more where the base state is there again. */
static void test_revert_unmarks(void **state)
{
	uint64_t seed = *(const uint64_t *)*state;
	struct random random = {.state = seed};
	struct changes changes;
	for (unsigned round = 0; round < 100; round++) {
		cleanup_tree struct tree *tree = tree_new();
		struct dentry *root = tree_root(tree);
		random_changes(&random, tree, 60);
		tree_freeze(tree);
		cleanup_free char *before = tree_text(tree);
		random_changes(&random, tree, 20);
		add_scaffold(&random, tree);
		check_mark(tree, &changes);
		tree_revert(tree);
		for (const struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
			assert_ptr_equal(d->inode, d->base);
			assert_int_equal(d->flags, 0);
		}
		cleanup_free char *after = tree_text(tree);
		assert_string_equal(after, before);
		check_mark(tree, &changes);
		assert_int_equal(changes.written + changes.whiteouts, 0);
	}
}

/* An inode's other names are found from one of them, however far away they are. */
static void test_far_names(void **state)
{
	(void)state;
	const struct shape shape = {FILE_, .text = "a"};
	cleanup_tree struct tree *tree = tree_new();
	struct dentry *root = tree_root(tree);
	struct changes changes;
	struct inode *inode = make(tree, &shape);
	struct dentry *z = tree_link(tree, root, "z", 1, tree_inode_new(tree, S_IFDIR | 0755));
	struct dentry *y = tree_link(tree, root, "y", 1, tree_inode_new(tree, S_IFDIR | 0755));
	struct dentry *kept = tree_link(tree, z, "kept", 4, inode);
	struct dentry *lost = tree_link(tree, y, "lost", 4, inode);
	tree_freeze(tree);
	tree_unlink(tree, lost);
	/* The base has what is left. */
	check_mark(tree, &changes);
	assert_int_equal(changes.written, 0);
	assert_int_equal(changes.whiteouts, 1);
	assert_int_equal(kept->flags & DENTRY_WRITE, 0);
	/* A link to the base's name alone would be to a stale copy where that is replaced. */
	tree_link(tree, y, "new", 3, inode);
	check_mark(tree, &changes);
	assert_int_equal(changes.written, 2);
	assert_int_equal(changes.whiteouts, 1);
	assert_int_equal(kept->flags & DENTRY_WRITE, DENTRY_WRITE);
	assert_int_equal(z->flags & DENTRY_BELOW, DENTRY_BELOW);
}

/* What is looked at for the marks: the names that were touched, once each, and no others. */
static void test_touched(void **state)
{
	(void)state;
	const struct shape shape = {FILE_, .text = "a"};
	cleanup_tree struct tree *tree = tree_new();
	struct dentry *root = tree_root(tree);
	size_t count;
	for (char c = 'a'; c <= 'z'; c++)
		tree_link(tree, root, &c, 1, make(tree, &shape));
	tree_touched(tree, &count);
	assert_int_equal(count, 27);
	tree_freeze(tree);
	tree_touched(tree, &count);
	assert_int_equal(count, 0);
	struct dentry *c = tree_find(tree, root, "c", 1);
	tree_relink(tree, c, make(tree, &shape));
	tree_relink(tree, c, make(tree, &shape));
	tree_unlink(tree, c);
	struct dentry *const *touched = tree_touched(tree, &count);
	assert_int_equal(count, 1);
	assert_ptr_equal(touched[0], c);
	tree_revert(tree);
	tree_touched(tree, &count);
	assert_int_equal(count, 0);
}

static void test_numbers(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct inode *root = tree_root(tree)->inode;
	struct inode *a = tree_inode_new(tree, S_IFREG | 0644);
	assert_int_equal(tree_last_number(tree), 0);
	assert_null(tree_numbered(tree, 2));
	tree_link(tree, tree_root(tree), "a", 1, a);
	tree_set_number(tree, root, 2);
	tree_set_number(tree, a, 11);
	assert_int_equal(tree_last_number(tree), 11);
	assert_ptr_equal(tree_numbered(tree, 2), root);
	assert_ptr_equal(tree_numbered(tree, 11), a);
	assert_null(tree_numbered(tree, 3));
	assert_null(tree_numbered(tree, UINT32_MAX));
	tree_freeze(tree);
	tree_unlink(tree, tree_find(tree, tree_root(tree), "a", 1));
	tree_forget_numbers(tree);
	assert_int_equal(tree_last_number(tree), 0);
	assert_null(tree_numbered(tree, 11));
	assert_int_equal(root->ino, 0);
	assert_int_equal(a->ino, 0);
}

int main(void)
{
	uint64_t seed = random_seed();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_far_names),
		cmocka_unit_test(test_touched),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test_prestate(test_random_marks, &seed),
		cmocka_unit_test_prestate(test_revert_unmarks, &seed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
