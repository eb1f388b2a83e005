/* What the guest did to a disk, brought back into the tree. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>

#include "disk/disk.h"
#include "disk_rig.h"
#include "mark_oracle.h"

static void nothing(struct guest *g)
{
	(void)g;
}

static void times_only(struct guest *g)
{
	guest_read_times(g, "/");
	guest_read_times(g, "/bin/sh");
	guest_read_times(g, "/var");
	guest_read_times(g, "/many");
	guest_read_times(g, "/short");
	guest_read_times(g, "/long");
}

static void new_files(struct guest *g)
{
	guest_make(g, "/new", S_IFREG | 0600, 0);
	guest_write(g, "/new", 0, "hello", 5);
	guest_make(g, "/usr/lib/x/y/empty", S_IFREG | 04755, 0);
	guest_make(g, "/d", S_IFDIR | 01777, 0);
	guest_make(g, "/d/e", S_IFDIR | 0700, 0);
	guest_make(g, "/d/e/null", S_IFCHR | 0666, 0x0103);
	guest_make(g, "/d/e/zero", S_IFCHR | 0666, 0);
	guest_make(g, "/d/e/big", S_IFBLK | 0660, 0xfff1c5ff);
	guest_make(g, "/d/fifo", S_IFIFO | 0644, 0);
	guest_make(g, "/d/socket", S_IFSOCK | 0644, 0);
	guest_symlink(g, "/d/s", "target");
	guest_symlink(g, "/d/59", "12345678901234567890123456789012345678901234567890123456789");
	guest_symlink(g, "/d/60", "123456789012345678901234567890123456789012345678901234567890");
	guest_chown(g, "/d/s", 70000, 3000000000);
}

static void contents(struct guest *g)
{
	guest_write(g, "/usr/lib/big", 8192, "in the middle", 13);
	guest_write(g, "/var/log/messages", 8192, "more", 4);
	guest_write(g, "/etc/cfg/b", 100000, "far", 3);
	guest_truncate(g, "/bin/sh", 1234);
	guest_truncate(g, "/usr/lib/x/f", 0);
	guest_truncate(g, "/etc/cfg/a", 9000000);
}

static void metadata(struct guest *g)
{
	guest_chmod(g, "/usr/lib/big", 0600);
	guest_chmod(g, "/var", 0700);
	guest_chown(g, "/bin/ls", 12, 13);
	guest_chown(g, "/", 5, 6);
	guest_chmod(g, "/usr/lib/x/y", 02750);
	guest_chown(g, "/long", 1, 2);
}

static void deletions(struct guest *g)
{
	guest_remove(g, "/bin/sh");
	guest_remove(g, "/usr/lib/x/y");
	guest_remove(g, "/etc");
	guest_remove(g, "/short");
	guest_remove(g, "/empty");
}

static void made_again(struct guest *g)
{
	guest_remove(g, "/etc/cfg");
	guest_make(g, "/etc/cfg", S_IFDIR | 0755, 0);
	guest_make(g, "/etc/cfg/other", S_IFREG | 0644, 0);
	guest_remove(g, "/etc/passwd");
	guest_make(g, "/etc/passwd", S_IFREG | 0644, 0);
	guest_write(g, "/etc/passwd", 0, "root", 4);
	guest_remove(g, "/usr/lib/x/y");
	guest_make(g, "/usr/lib/x/n", S_IFREG | 0644, 0);
	guest_make(g, "/usr/lib/x/y", S_IFDIR | 0755, 0);
}

static void other_types(struct guest *g)
{
	guest_remove(g, "/etc");
	guest_make(g, "/etc", S_IFREG | 0644, 0);
	guest_remove(g, "/bin/ls");
	guest_make(g, "/bin/ls", S_IFDIR | 0755, 0);
	guest_make(g, "/bin/ls/below", S_IFREG | 0644, 0);
	guest_remove(g, "/var/log/messages");
	guest_symlink(g, "/var/log/messages", "/dev/null");
	guest_remove(g, "/dev/fifo");
	guest_make(g, "/dev/fifo", S_IFSOCK | 0644, 0);
}

static void move_directory(struct guest *g)
{
	guest_rename(g, "/usr/lib", "/var/lib");
	guest_make(g, "/usr/lib", S_IFDIR | 0755, 0);
	guest_make(g, "/usr/lib/fresh", S_IFREG | 0644, 0);
	guest_write(g, "/var/lib/x/y/z", 3, "changed below", 13);
}

static void move_up_and_down(struct guest *g)
{
	guest_rename(g, "/usr/lib/x/y", "/y");
	guest_rename(g, "/usr/lib/x", "/y/x");
	guest_remove(g, "/usr");
	guest_rename(g, "/y", "/empty/y");
	guest_rename(g, "/empty", "/a-first");
}

static void swaps(struct guest *g)
{
	guest_rename(g, "/etc/passwd", "/t");
	guest_rename(g, "/etc/cfg/a", "/etc/passwd");
	guest_rename(g, "/t", "/etc/cfg/a");
	guest_rename(g, "/etc", "/t");
	guest_rename(g, "/usr", "/etc");
	guest_rename(g, "/t", "/usr");
	guest_rename(g, "/etc/lib", "/t");
	guest_rename(g, "/etc", "/t/inside");
	guest_rename(g, "/t", "/etc");
}

static void rename_in_place(struct guest *g)
{
	guest_rename(g, "/usr/lib/x", "/usr/lib/w");
	guest_rename(g, "/many", "/few");
	guest_rename(g, "/usr/lib/w/y", "/usr/lib/w/x");
}

static void hard_links(struct guest *g)
{
	guest_link(g, "/bin/sh", "/sh");
	guest_remove(g, "/usr/lib/x/hard");
	guest_link(g, "/etc/passwd", "/usr/lib/x/y/passwd");
	guest_rename(g, "/usr/lib/x/y", "/y");
	guest_remove(g, "/bin/ls");
	guest_make(g, "/one", S_IFREG | 0644, 0);
	guest_link(g, "/one", "/etc/cfg/two");
	guest_link(g, "/one", "/usr/three");
}

static void hard_link_changed(struct guest *g)
{
	guest_chmod(g, "/usr/lib/x/hard", 0700);
	guest_rename(g, "/bin", "/usr/bin");
}

static void many_names(struct guest *g)
{
	for (int i = 0; i < 400; i += 2) {
		char path[64];
		snprintf(path, sizeof(path), "/many/a-name-of-some-length-%d", i);
		guest_remove(g, path);
		snprintf(path, sizeof(path), "/many/another-name-%d-that-is-long", i);
		guest_make(g, path, S_IFREG | 0644, 0);
	}
}

static void attributes(struct guest *g)
{
	uint8_t value[700] = {9, 8, 7};
	static uint8_t longest[65536] = {7, 7, 7};
	guest_xattr(g, "/etc/passwd", "user.small", NULL, 0);
	guest_xattr(g, "/etc/cfg/a", "security.capability", value, 20);
	guest_xattr(g, "/etc/cfg/b", "user.big", value, sizeof(value));
	guest_xattr(g, "/etc/cfg/b", "user.none", "", 0);
	guest_xattr(g, "/etc/cfg", "system.posix_acl_default", rig_acl, sizeof(rig_acl));
	guest_xattr(g, "/bin", "system.posix_acl_access", rig_acl, sizeof(rig_acl));
	guest_xattr(g, "/var", "user.large", "small now", 9);
	guest_xattr(g, "/bin", "user.own", longest, sizeof(longest));
	guest_xattr(g, "/usr/lib/big", "user.long", longest, 5000);
}

static void extents(struct guest *g)
{
	guest_make(g, "/pieces", S_IFREG | 0644, 0);
	for (unsigned i = 0; i < 400; i++)
		guest_write(g, "/pieces", (uint64_t)i * 8192, &i, sizeof(i));
	guest_make(g, "/preallocated", S_IFREG | 0644, 0);
	guest_preallocate(g, "/preallocated", 20);
	guest_write(g, "/preallocated", 30000, "data", 4);
}

/* Names, against the state before: with another inode object, new, gone. */
struct counts {
	unsigned changed, made, gone;
};

static struct counts count_names(struct tree *tree)
{
	struct counts counts = {0};
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (d->base == NULL)
			counts.made += d->inode != NULL;
		else if (d->inode == NULL)
			counts.gone++;
		else if (d->inode != d->base)
			counts.changed++;
	}
	return counts;
}

struct scenario {
	const char *name;
	void (*run)(struct guest *guest);
	struct counts counts;
};

static const struct scenario scenarios[] = {
	{"nothing", nothing, {0, 0, 0}},
	{"times only", times_only, {0, 0, 0}},
	{"new files", new_files, {2, 11, 0}},
	{"contents", contents, {8, 0, 0}},
	{"metadata", metadata, {8, 0, 0}},
	{"deletions", deletions, {3, 0, 10}},
	{"made again", made_again, {5, 2, 3}},
	{"other types", other_types, {7, 1, 5}},
	{"move a directory", move_directory, {3, 8, 6}},
	{"move up and down", move_up_and_down, {1, 6, 9}},
	{"swaps", swaps, {3, 11, 11}},
	{"rename in place", rename_in_place, {2, 406, 406}},
	{"hard links", hard_links, {5, 7, 4}},
	{"hard link changed", hard_link_changed, {3, 3, 3}},
	{"many names", many_names, {1, 200, 200}},
	{"attributes", attributes, {7, 0, 0}},
	{"extents", extents, {1, 2, 0}},
};

static void scenarios_agree(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		cleanup_rig struct rig rig;
		rig_open(&rig, rig_tree());
		struct guest *g = guest_open(rig.after);
		scenarios[i].run(g);
		guest_close(g);
		print_message("%s\n", scenarios[i].name);
		rig_check(&rig);
		struct counts counts = count_names(rig.tree);
		assert_int_equal(counts.changed, scenarios[i].counts.changed);
		assert_int_equal(counts.made, scenarios[i].counts.made);
		assert_int_equal(counts.gone, scenarios[i].counts.gone);
	}
}

/* What did not change is the same object, wherever it is now; unchanged data is not copied. */
static void unchanged_is_shared(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	rig_open(&rig, rig_tree());
	struct inode *passwd = tree_walk(rig.tree, "/etc/passwd")->inode;
	struct inode *z = tree_walk(rig.tree, "/usr/lib/x/y/z")->inode;
	struct inode *sh = tree_walk(rig.tree, "/bin/sh")->inode;
	struct inode *big = tree_walk(rig.tree, "/usr/lib/big")->inode;
	struct inode *etc = tree_walk(rig.tree, "/etc")->inode;

	struct guest *g = guest_open(rig.after);
	guest_rename(g, "/usr/lib/x/y", "/y");
	guest_chmod(g, "/usr/lib/big", 0600);
	guest_rename(g, "/etc/passwd", "/usr/passwd");
	guest_link(g, "/bin/sh", "/bin/bash");
	guest_close(g);
	rig_check(&rig);

	assert_ptr_equal(tree_walk(rig.tree, "/y/z")->inode, z);
	assert_ptr_equal(tree_walk(rig.tree, "/usr/passwd")->inode, passwd);
	assert_ptr_equal(tree_walk(rig.tree, "/bin/bash")->inode, sh);
	assert_int_equal(sh->nlink, 4);
	struct inode *now = tree_walk(rig.tree, "/usr/lib/big")->inode;
	assert_ptr_not_equal(now, big);
	assert_ptr_equal(now->source, big->source);
	assert_ptr_not_equal(tree_walk(rig.tree, "/etc")->inode, etc);
	assert_int_equal(etc->nlink, 0);
}

/* A mount point that was only looked at keeps its mark. */
static void scaffold_stays(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	struct tree *tree = rig_tree();
	tree_freeze(tree);
	rig_add(tree, "/proc", S_IFDIR | 0555);
	rig_add(tree, "/sys", S_IFDIR | 0555);
	rig_open(&rig, tree);
	tree_walk(tree, "/proc")->flags |= DENTRY_SCAFFOLD;
	tree_walk(tree, "/sys")->flags |= DENTRY_SCAFFOLD;
	struct guest *g = guest_open(rig.after);
	guest_read_times(g, "/proc");
	guest_chmod(g, "/sys", 0500);
	guest_close(g);
	rig_check(&rig);
	assert_int_equal(tree_walk(tree, "/proc")->flags & DENTRY_SCAFFOLD, DENTRY_SCAFFOLD);
	assert_int_equal(tree_walk(tree, "/sys")->flags & DENTRY_SCAFFOLD, 0);
}

static void random_trees_agree(void **state)
{
	(void)state;
	struct random random = {.state = random_seed()};
	struct changes changes;
	for (int round = 0; round < 60; round++) {
		cleanup_rig struct rig rig;
		struct tree *tree = tree_new();
		random_changes(&random, tree, 60);
		rig_open(&rig, tree);
		struct guest *g = guest_open(rig.after);
		guest_random(g, &random, 1 + random_below(&random, 40));
		guest_close(g);
		rig_check(&rig);
		check_mark(rig.tree, &changes);
	}
}

/* Of a file that was written to nothing but its own names is touched, though many are around. */
static void only_changes_are_touched(void **state)
{
	(void)state;
	size_t count;
	cleanup_rig struct rig rig;
	rig_open(&rig, rig_tree());
	struct guest *g = guest_open(rig.after);
	guest_write(g, "/many/a-name-of-some-length-7", 0, "x", 1);
	guest_write(g, "/bin/sh", 0, "x", 1);
	guest_close(g);
	rig_check(&rig);
	struct dentry *const *touched = tree_touched(rig.tree, &count);
	assert_int_equal(count, 4);
	for (size_t i = 0; i < count; i++)
		assert_ptr_not_equal(touched[i]->inode, touched[i]->base);
}

/* Sockets are left out of the tree, counted, and the first of them named. */
static void sockets_are_told(void **state)
{
	struct error err = {0};
	struct disk_sockets sockets = {0};
	cleanup_rig struct rig rig;
	(void)state;
	rig_open(&rig, rig_tree());
	struct guest *g = guest_open(rig.after);
	guest_make(g, "/socket", S_IFSOCK | 0600, 0);
	guest_make(g, "/etc/one", S_IFSOCK | 0777, 0);
	guest_make(g, "/etc/file", S_IFREG | 0600, 0);
	guest_remove(g, "/etc/passwd");
	guest_make(g, "/etc/passwd", S_IFSOCK | 0600, 0);
	guest_make(g, "/usr/lib/x/last", S_IFSOCK | 0600, 0);
	guest_close(g);
	int overlay = rig_overlay(&rig);
	int base = fcntl(rig.base_fd, F_DUPFD_CLOEXEC, 3);
	if (disk_reread_own(rig.tree, base, overlay, &sockets, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(sockets.count, 4);
	assert_string_equal(sockets.paths[0], "/socket");
	for (unsigned i = 0; i < DISK_SOCKETS_NAMED; i++)
		assert_null(tree_walk(rig.tree, sockets.paths[i]));
	assert_null(tree_walk(rig.tree, "/etc/passwd"));
	assert_non_null(tree_walk(rig.tree, "/etc/file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scenarios_agree),
		cmocka_unit_test(unchanged_is_shared),
		cmocka_unit_test(scaffold_stays),
		cmocka_unit_test(only_changes_are_touched),
		cmocka_unit_test(sockets_are_told),
		cmocka_unit_test(random_trees_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
