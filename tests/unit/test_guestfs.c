/*
 * Reading through the helper, with helpers that are shell scripts: one that hands back a tar, and
 * some that fail in each way that there is.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "guestfs/guestfs_read.h"
#include "layer/layer.h"
#include "layer/tar_header.h"
#include "random_tree.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree/changes.h"
#include "tree_text.h"

static char folder[] = "/tmp/layervm-test-XXXXXX";

static char *in_folder(const char *name)
{
	return xasprintf("%s/%s", folder, name);
}

static void write_file(const char *name, mode_t mode, const void *data, size_t len)
{
	struct error err;
	cleanup_free char *path = in_folder(name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	if (file_write(fd, data, len, path, &err) < 0)
		fail_msg("%s", err.message);
}

/* Makes the helper a shell script of these lines. */
static void set_helper(const char *lines)
{
	cleanup_free char *text = xasprintf("#!/bin/sh\ncd %s || exit\n%s\n", folder, lines);
	write_file("layervm-guestfs", 0755, text, strlen(text));
}

/* What is marked, as a layer's bytes. */
static void write_layer(struct tree *tree, struct buffer *out)
{
	struct error err;
	struct layer_info info;
	const struct layer_options options = {.keep_mtime = true};
	cleanup_close int fd = memfd_create("layer", MFD_CLOEXEC);
	assert_true(fd >= 0);
	if (layer_write(tree, fd, &options, &info, &err) < 0)
		fail_msg("%s", err.message);
	buffer_reserve(out, info.size);
	if (file_read_at(fd, out->data, info.size, 0, "layer", &err) < 0)
		fail_msg("%s", err.message);
	out->len = info.size;
}

static void write_tar(struct tree *tree)
{
	cleanup_buffer struct buffer tar = {0};
	changes_mark_all(tree);
	write_layer(tree, &tar);
	write_file("tar", 0644, tar.data, tar.len);
}

static void mark(struct tree *tree)
{
	struct error err;
	struct changes changes;
	if (changes_mark(tree, &changes, &err) < 0)
		fail_msg("%s", err.message);
}

static void reread(struct tree *tree)
{
	struct error err;
	cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (guestfs_reread(tree, null, null, &err) < 0)
		fail_msg("%s", err.message);
}

/* A tree brought to another's state by its tar gives the other's layer, byte for byte. */
static void test_random_states(void **state)
{
	uint64_t seed = *(const uint64_t *)*state;
	set_helper("[ \"$2\" = written ] || exit 1; cat tar >&3; echo done >&4");
	for (unsigned i = 0; i < 40; i++) {
		struct random from = {.state = seed + i};
		struct random same = {.state = seed + i};
		struct random change = {.state = ~(seed + i)};
		cleanup_tree struct tree *tree = tree_new();
		cleanup_tree struct tree *other = tree_new();
		random_changes(&from, tree, 60);
		random_changes(&same, other, 60);
		tree_freeze(tree);
		tree_freeze(other);
		random_changes(&change, other, i % 30);
		write_tar(other);
		reread(tree);

		cleanup_free char *expected = tree_text(other);
		cleanup_free char *found = tree_text(tree);
		assert_string_equal(found, expected);
		cleanup_buffer struct buffer expected_layer = {0};
		cleanup_buffer struct buffer found_layer = {0};
		mark(other);
		mark(tree);
		write_layer(other, &expected_layer);
		write_layer(tree, &found_layer);
		assert_int_equal(found_layer.len, expected_layer.len);
		assert_memory_equal(found_layer.data, expected_layer.data, found_layer.len);
	}
}

static void add_scaffold(struct tree *tree)
{
	struct inode *inode = tree_inode_new(tree, S_IFDIR | 0755);
	tree_link(tree, tree_root(tree), "proc", 4, inode)->flags |= DENTRY_SCAFFOLD;
}

/* A mount point that was made for the guest is no change, unless something was put into it. */
static void test_scaffold(void **state)
{
	(void)state;
	set_helper("cat tar >&3; echo done >&4");
	for (unsigned filled = 0; filled < 2; filled++) {
		struct error err;
		struct changes changes;
		cleanup_tree struct tree *tree = tree_new();
		cleanup_tree struct tree *other = tree_new();
		tree_freeze(tree);
		add_scaffold(tree);
		add_scaffold(other);
		if (filled)
			tree_link(other, tree_find(other, tree_root(other), "proc", 4), "x", 1,
				tree_inode_new(other, S_IFIFO | 0600));
		write_tar(other);
		reread(tree);
		assert_int_equal(changes_mark(tree, &changes, &err), 0);
		assert_int_equal(changes.written, 2 * filled);
		assert_int_equal(changes.whiteouts, 0);
	}
}

/* GNU tar's way to write attributes whose names have '=', on a file of two names; XFS's own ACLs.
 */
static void test_attribute_names(void **state)
{
	(void)state;
	static const struct xattr items[] = {
		{.name = "trusted.SGI_ACL_FILE", .value = "0", .len = 1},
		{.name = "user.%253D", .value = "1", .len = 1},
		{.name = "user.a%3Db", .value = "2", .len = 1},
	};
	static const char end[2 * TAR_BLOCK];
	cleanup_tree struct tree *tree = tree_new();
	cleanup_buffer struct buffer tar = {0};
	tar_header_add(&tar, &(struct tar_header){.path = "a",
				     .type = '0',
				     .mode = 0644,
				     .xattrs = tree_xattrs(tree, items, 3)});
	tar_header_add(
		&tar, &(struct tar_header){.path = "b", .type = '1', .mode = 0644, .target = "a"});
	buffer_add(&tar, end, sizeof(end));
	write_file("tar", 0644, tar.data, tar.len);
	set_helper("cat tar >&3; echo done >&4");
	reread(tree);
	cleanup_free char *found = tree_text(tree);
	static const char digest[] =
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	cleanup_free char *expected = xasprintf("/ d 0755 0:0 0 0.000000000\n"
						"/a f 0644 0:0 0 0.000000000 %s "
						"user.%%3D=31 user.a=b=32\n"
						"/b f 0644 0:0 0 0.000000000 %s =/a "
						"user.%%3D=31 user.a=b=32\n",
		digest, digest);
	assert_string_equal(found, expected);
}

/* Zeros become holes, and come back as zeros; bytes that are all the same but not zero stay. */
static void test_zeros(void **state)
{
	(void)state;
	static const char *const pieces[] = {"0", "1", "4095", "4096", "4097", "1000000"};
	cleanup_tree struct tree *tree = tree_new();
	cleanup_buffer struct buffer data = {0};
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t len = strtoul(pieces[i], NULL, 10);
		memset(buffer_reserve(&data, len), 0, len);
		data.len += len;
		buffer_add_text(&data, "data");
	}
	memset(buffer_reserve(&data, 20000), 'a', 20000);
	data.len += 20000;
	memset(buffer_reserve(&data, 100000), 0, 100000);
	data.len += 100000;
	struct inode *inode = tree_inode_new(tree, S_IFREG | 0600);
	struct source *source = tree_own_source(tree, source_from_bytes(data.data, data.len));
	inode_set_data(tree, inode, source, 0, data.len);
	tree_link(tree, tree_root(tree), "file", 4, inode);
	write_tar(tree);
	set_helper("cat tar >&3; echo done >&4");
	cleanup_tree struct tree *copy = tree_new();
	reread(copy);
	cleanup_free char *expected = tree_text(tree);
	cleanup_free char *found = tree_text(copy);
	assert_string_equal(found, expected);
}

struct failure {
	const char *helper; /* NULL: there is none */
	enum error_kind kind;
	const char *words;
};

static const struct failure failures[] = {
	{NULL, ERROR_INTERNAL, "install libguestfs-dev"},
	{"echo no libguestfs.so.0 >&2; exit 127", ERROR_INTERNAL,
		"no libguestfs.so.0; install libguestfs-tools"},
	{"exit 0", ERROR_INTERNAL, "left with status 0 before"},
	{"cat tar >&3; exit 3", ERROR_INTERNAL, "left with status 3 before"},
	{"cat tar >&3; echo done >&4; exit 3", ERROR_INTERNAL, "left with status 3 before"},
	{"kill -9 $$", ERROR_INTERNAL, "was ended by signal 9 before"},
	{"echo 'error input it is odd' >&4; exit 1", ERROR_INPUT, "guest disk: it is odd"},
	{"echo 'error guest it is odd' >&4; exit 0", ERROR_GUEST, "guest disk: it is odd"},
	{"echo 'error nokind it is odd' >&4; echo done >&4", ERROR_INTERNAL, "it is odd"},
	{"echo hello >&4; echo done >&4", ERROR_INTERNAL, "\"hello\", which is no message"},
	{"yes | tr -d '\\n' >&4", ERROR_INTERNAL, "a line of more than"},
	{"echo 'this is no tar, whatever it is' >&3; echo done >&4", ERROR_INPUT, "guest disk: "},
	{"head -c 1000 tar >&3; echo done >&4", ERROR_INPUT, "guest disk: "},
	{"cat whiteout >&3; echo done >&4", ERROR_LIMIT, "guest disk: /a/.wh.b: names that begin"},
};

static void test_failures(void **state)
{
	(void)state;
	static const char end[2 * TAR_BLOCK];
	cleanup_tree struct tree *tree = tree_new();
	cleanup_buffer struct buffer tar = {0};
	cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct random random = {.state = 1};
	random_changes(&random, tree, 60);
	write_tar(tree);
	tar_header_add(&tar, &(struct tar_header){.path = "./a/.wh.b", .type = '0', .mode = 0644});
	buffer_add(&tar, end, sizeof(end));
	write_file("whiteout", 0644, tar.data, tar.len);
	cleanup_free char *before = tree_text(tree);
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		struct error err = {0};
		cleanup_free char *path = in_folder("layervm-guestfs");
		if (failures[i].helper != NULL)
			set_helper(failures[i].helper);
		else
			unlink(path);
		if (guestfs_reread(tree, null, null, &err) == 0)
			fail_msg("%s: no error", failures[i].helper);
		if (err.kind != failures[i].kind || strstr(err.message, failures[i].words) == NULL)
			fail_msg("%s: kind %d, %s", failures[i].helper, err.kind, err.message);
		cleanup_free char *after = tree_text(tree);
		assert_string_equal(after, before);
	}
}

/* A file that may be executed, and is no program. */
static void test_no_program(void **state)
{
	(void)state;
	struct error err = {0};
	cleanup_tree struct tree *tree = tree_new();
	cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	write_file("layervm-guestfs", 0755, "\0", 1);
	assert_int_equal(guestfs_reread(tree, null, null, &err), -ENOEXEC);
	assert_int_equal(err.kind, ERROR_INTERNAL);
	assert_string_equal(
		err.message, "guest disk: layervm-guestfs: cannot be executed: Exec format error");
}

/* What the helper is told of an image, and what is shown of what it says. */
static void test_image(void **state)
{
	(void)state;
	struct error err;
	int ends[2];
	char said[256];
	cleanup_free char *path = in_folder("disk");
	static const char qcow2[512] = "QFI\xfb\x00\x00\x00\x03";
	write_file("disk", 0644, qcow2, sizeof(qcow2));
	set_helper("echo \"note $2 $3 $4 ${5-none}\" >&4; echo 'warning w' >&4; cat tar >&3; "
		   "echo done >&4");
	cleanup_tree struct tree *tree = tree_new();
	struct random random = {.state = 2};
	random_changes(&random, tree, 60);
	write_tar(tree);
	cleanup_free char *expected = tree_text(tree);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pipe(ends), 0);
		cleanup_tree struct tree *found_tree = tree_new();
		struct report *report = report_new(REPORT_PLAIN, ends[1]);
		const char *root = i != 0 ? "/dev/sda2" : NULL;
		if (guestfs_disk_tree(path, root, found_tree, report, &err) < 0)
			fail_msg("%s", err.message);
		report_free(report);
		close(ends[1]);
		ssize_t n = read(ends[0], said, sizeof(said) - 1);
		close(ends[0]);
		assert_true(n > 0);
		said[n] = '\0';
		cleanup_free char *note =
			xasprintf("image qcow2 %s %s\n", path, i != 0 ? root : "none");
		assert_non_null(strstr(said, note));
		assert_non_null(strstr(said, "warning: w\n"));
		cleanup_free char *found = tree_text(found_tree);
		assert_string_equal(found, expected);
	}
}

static int remove_all(void **state)
{
	(void)state;
	static const char *const names[] = {"layervm-guestfs", "tar", "whiteout", "disk"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		cleanup_free char *path = in_folder(names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	uint64_t seed = random_seed();
	if (mkdtemp(folder) == NULL || setenv("LAYERVM_LIBEXEC_DIR", folder, 1) < 0)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_random_states, &seed),
		cmocka_unit_test(test_scaffold),
		cmocka_unit_test(test_attribute_names),
		cmocka_unit_test(test_zeros),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_no_program),
		cmocka_unit_test(test_image),
	};
	return cmocka_run_group_tests(tests, NULL, remove_all);
}
