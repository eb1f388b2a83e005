/* The guest's disk read in a child that can do nothing else; the filter holds without sanitizers.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "commands/confined_diff.h"
#include "support/fileio.h"
#include "support/memory.h"

#include "disk_rig.h"

struct outcome {
	int code;
	struct error err;
	struct changes changes;
	struct layer_info layer;
};

static struct outcome run(const struct rig *rig, int layer_fd)
{
	struct outcome outcome = {0};
	cleanup_close int overlay = rig_overlay(rig);
	outcome.code = confined_diff(rig->tree, rig->base_fd, overlay, layer_fd,
		&(struct layer_options){0}, &outcome.changes, &outcome.layer, &outcome.err);
	return outcome;
}

static void changes_become_a_layer(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	struct error err;
	char block[512];
	rig_open(&rig, rig_tree());
	struct guest *g = guest_open(rig.after);
	guest_make(g, "/etc/new", S_IFREG | 0644, 0);
	guest_write(g, "/etc/new", 0, "data", 4);
	guest_remove(g, "/etc/passwd");
	guest_close(g);

	cleanup_close int layer_fd = file_temporary(&err);
	struct outcome outcome = run(&rig, layer_fd);
	if (outcome.code != 0)
		fail_msg("%s", outcome.err.message);
	assert_int_equal(outcome.changes.whiteouts, 1);
	/* "etc/", the whiteout, "etc/new" and its data, two blocks of zeros. */
	assert_int_equal(outcome.layer.entries, 3);
	assert_int_equal(outcome.layer.size, lseek(layer_fd, 0, SEEK_END));
	assert_int_equal(pread(layer_fd, block, sizeof(block), sizeof(block)), sizeof(block));
	assert_string_equal(block, "etc/.wh.passwd");
	/* The child had a tree of its own. */
	assert_non_null(tree_walk(rig.tree, "etc/passwd"));
	assert_null(tree_walk(rig.tree, "etc/new"));
}

/* The reason comes back from the child as it was said there. */
static void a_damaged_disk_is_refused(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	struct error err;
	rig_open(&rig, rig_tree());
	assert_int_equal(pwrite(rig.after_fd, "\xff", 1, 1024 + 0x68), 1);
	cleanup_close int layer_fd = file_temporary(&err);
	struct outcome outcome = run(&rig, layer_fd);
	assert_int_equal(outcome.code, -EUCLEAN);
	assert_int_equal(outcome.err.kind, ERROR_GUEST);
	assert_non_null(strstr(outcome.err.message, "guest disk: superblock: UUID"));
	assert_int_equal(lseek(layer_fd, 0, SEEK_END), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_become_a_layer),
		cmocka_unit_test(a_damaged_disk_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
