/* apply(diff(a, b), a) == b, and a whole tree written and read again is itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "layer/layer.h"
#include "random_tree.h"
#include "support/memory.h"
#include "tree/changes.h"
#include "tree_text.h"

static struct tree *make_tree(uint64_t seed, unsigned steps)
{
	struct tree *tree = tree_new();
	struct random random = {.state = seed};
	random_changes(&random, tree, steps);
	return tree;
}

/* Writes what is marked and applies it to another tree. */
static void carry_over(struct tree *from, struct tree *to)
{
	struct error err;
	struct layer_info info;
	const struct layer_options options = {.keep_mtime = true};
	int fd = memfd_create("layer", MFD_CLOEXEC);
	assert_true(fd >= 0);
	if (layer_write(from, fd, &options, &info, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(info.size, lseek(fd, 0, SEEK_END));
	if (layer_apply(to, source_from_fd(fd, 0, "layer"), info.size, "layer", &err) < 0)
		fail_msg("%s", err.message);
}

static void test_whole_tree(void **state)
{
	uint64_t seed = *(const uint64_t *)*state;
	for (unsigned i = 0; i < 100; i++) {
		cleanup_tree struct tree *tree = make_tree(seed + i, 60);
		cleanup_tree struct tree *copy = tree_new();
		changes_mark_all(tree);
		carry_over(tree, copy);
		cleanup_free char *expected = tree_text(tree);
		cleanup_free char *found = tree_text(copy);
		assert_string_equal(found, expected);
	}
}

static void test_apply_of_diff(void **state)
{
	uint64_t seed = *(const uint64_t *)*state;
	for (unsigned i = 0; i < 300; i++) {
		cleanup_tree struct tree *a = make_tree(seed + i, 40);
		cleanup_tree struct tree *b = make_tree(seed + i, 40);
		struct random random = {.state = ~(seed + i)};
		struct changes changes;
		struct error err;
		tree_freeze(b);
		random_changes(&random, b, 1 + i % 40);
		assert_int_equal(changes_mark(b, &changes, &err), 0);
		carry_over(b, a);
		/* The root's mtime alone is no change. */
		tree_root(a)->inode->mtime_sec = tree_root(b)->inode->mtime_sec;
		tree_root(a)->inode->mtime_nsec = tree_root(b)->inode->mtime_nsec;
		cleanup_free char *expected = tree_text(b);
		cleanup_free char *found = tree_text(a);
		assert_string_equal(found, expected);
	}
}

static void test_no_change_is_empty(void **state)
{
	uint64_t seed = *(const uint64_t *)*state;
	cleanup_tree struct tree *tree = make_tree(seed, 200);
	struct changes changes;
	struct error err;
	tree_freeze(tree);
	assert_int_equal(changes_mark(tree, &changes, &err), 0);
	assert_int_equal(changes.written, 0);
	assert_int_equal(changes.whiteouts, 0);
}

static void test_revert(void **state)
{
	uint64_t seed = *(const uint64_t *)*state;
	for (unsigned i = 0; i < 50; i++) {
		cleanup_tree struct tree *tree = make_tree(seed + i, 100);
		struct random random = {.state = seed};
		tree_freeze(tree);
		uint64_t count = tree_count(tree);
		cleanup_free char *before = tree_text(tree);
		random_changes(&random, tree, 100);
		tree_revert(tree);
		cleanup_free char *after = tree_text(tree);
		assert_string_equal(after, before);
		assert_int_equal(tree_count(tree), count);
	}
}

int main(void)
{
	uint64_t seed = random_seed();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_whole_tree, &seed),
		cmocka_unit_test_prestate(test_apply_of_diff, &seed),
		cmocka_unit_test_prestate(test_no_change_is_empty, &seed),
		cmocka_unit_test_prestate(test_revert, &seed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
