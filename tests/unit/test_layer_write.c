/* Layers on their way out: whole blocks however files are cut, prefixes, times, sinks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "layer/layer.h"
#include "layer/tar_header.h"
#include "support/memory.h"
#include "tree/changes.h"
#include "tree_text.h"

/* Keeps what is written, and fails once more than `most` bytes came. */
struct memory_sink {
	struct layer_sink base;
	struct buffer bytes;
	size_t writes;
	size_t most;
};

static int write_memory(struct layer_sink *sink, const void *data, size_t len, struct error *err)
{
	struct memory_sink *memory = (struct memory_sink *)sink;
	if (len > memory->most - memory->bytes.len)
		return error_set(err, ERROR_OUTPUT, ENOSPC, "the sink is full");
	buffer_add(&memory->bytes, data, len);
	memory->writes++;
	return 0;
}

static struct memory_sink new_sink(void)
{
	return (struct memory_sink){.base = {.write = write_memory}, .most = SIZE_MAX};
}

static struct inode *add_file(struct tree *tree, const char *name, size_t size)
{
	cleanup_free uint8_t *data = xmalloc(size + 1);
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 7 + size);
	struct inode *inode = tree_inode_new(tree, S_IFREG | 0640);
	struct source *source = tree_own_source(tree, source_from_bytes(data, size));
	inode_set_data(tree, inode, source, 0, size);
	tree_link(tree, tree_root(tree), name, strlen(name), inode);
	return inode;
}

/* Writes the whole tree, reads it back and compares the two. */
static void check_round_trip(struct tree *tree, const char *what)
{
	const struct layer_options options = {.keep_mtime = true};
	struct memory_sink sink = new_sink();
	struct layer_info info;
	struct error err;
	cleanup_tree struct tree *again = tree_new();
	changes_mark_all(tree);
	if (layer_write_to(tree, &sink.base, &options, &info, &err) < 0)
		fail_msg("%s: %s", what, err.message);
	assert_int_equal(info.size, sink.bytes.len);
	assert_int_equal(sink.bytes.len % TAR_BLOCK, 0);
	if (layer_apply(again, source_from_bytes(sink.bytes.data, sink.bytes.len), sink.bytes.len,
		    "layer", &err) < 0)
		fail_msg("%s: %s", what, err.message);
	cleanup_free char *expected = tree_text(tree);
	cleanup_free char *found = tree_text(again);
	if (strcmp(expected, found) != 0)
		fail_msg("%s: expected\n%sfound\n%s", what, expected, found);
	buffer_free(&sink.bytes);
}

/*
 * A pax header, which is padded too, after files that end in the middle of a block: also where
 * the file's last piece has just been handed on.
 */
static void test_blocks(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 511, 512, 513, 65536, 70000, 261000, 261631, 261632,
		261633, 262143, 262144, 262145, 400001, 524287};
	static const struct xattr attribute = {.name = "user.a", .value = "1", .len = 1};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cleanup_tree struct tree *tree = tree_new();
		cleanup_free char *what = xasprintf("a file of %zu bytes", sizes[i]);
		add_file(tree, "a", sizes[i]);
		add_file(tree, "b", 3)->xattrs = tree_xattrs(tree, &attribute, 1);
		add_file(tree, "c", sizes[i]);
		check_round_trip(tree, what);
	}
}

/* The names of the tar's members, links' targets and mtimes, as the ustar headers have them. */
static char *members(const struct buffer *tar)
{
	struct buffer out = {0};
	for (size_t at = 0; at < tar->len && tar->data[at] != '\0';) {
		const char *header = (const char *)tar->data + at;
		uint64_t size = strtoull(header + 124, NULL, 8);
		buffer_printf(&out, "%.100s", header);
		if (header[156] == '1' || header[156] == '2')
			buffer_printf(&out, ">%.100s", header + 157);
		buffer_printf(&out, " %llu;", strtoull(header + 136, NULL, 8));
		at += TAR_BLOCK + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	}
	return buffer_steal_text(&out);
}

struct options_case {
	const char *name;
	struct layer_options options;
	const char *expected;
};

static const struct options_case options_cases[] = {
	{"as layers are", {.keep_mtime = true},
		"./ 0;d/ 10;d/.wh.gone 0;d/f 20;d/h>d/f 20;l>d/f 30;"},
	{"a prefix", {.keep_mtime = true, .prefix = "./"},
		"./ 0;./d/ 10;./d/.wh.gone 0;./d/f 20;./d/h>./d/f 20;./l>d/f 30;"},
	{"no later than", {.mtime_max = 15},
		"./ 0;d/ 10;d/.wh.gone 15;d/f 15;d/h>d/f 15;l>d/f 15;"},
	{"one time", {.mtime_max = 15, .same_mtime = true},
		"./ 15;d/ 15;d/.wh.gone 15;d/f 15;d/h>d/f 15;l>d/f 15;"},
};

static void test_options(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct dentry *root = tree_root(tree);
	struct inode *dir = tree_inode_new(tree, S_IFDIR | 0755);
	struct inode *file = tree_inode_new(tree, S_IFREG | 0644);
	struct inode *link = tree_inode_new(tree, S_IFLNK | 0777);
	dir->mtime_sec = 10;
	file->mtime_sec = 20;
	link->mtime_sec = 30;
	link->target = "d/f";
	struct dentry *d = tree_link(tree, root, "d", 1, dir);
	tree_link(tree, d, "f", 1, file);
	tree_link(tree, d, "h", 1, file);
	tree_link(tree, root, "l", 1, link);
	tree_link(tree, d, "gone", 4, tree_inode_new(tree, S_IFIFO | 0644));
	tree_freeze(tree);
	tree_unlink(tree, tree_find(tree, d, "gone", 4));
	changes_mark_all(tree);
	for (struct dentry *child = d->children; child != NULL; child = child->next) {
		if (child->inode == NULL)
			child->flags |= DENTRY_WHITEOUT;
	}
	for (size_t i = 0; i < sizeof(options_cases) / sizeof(options_cases[0]); i++) {
		const struct options_case *c = &options_cases[i];
		struct memory_sink sink = new_sink();
		struct layer_info info;
		struct error err;
		if (layer_write_to(tree, &sink.base, &c->options, &info, &err) < 0)
			fail_msg("%s: %s", c->name, err.message);
		cleanup_free char *found = members(&sink.bytes);
		if (strcmp(found, c->expected) != 0)
			fail_msg("%s: expected %s, found %s", c->name, c->expected, found);
		buffer_free(&sink.bytes);
	}
}

/* Large data goes on in pieces while it is read, and a sink's fault ends it. */
static void test_sink(void **state)
{
	(void)state;
	const struct layer_options options = {.keep_mtime = true};
	cleanup_tree struct tree *tree = tree_new();
	struct memory_sink sink = new_sink();
	struct layer_info info;
	struct error err;
	add_file(tree, "large", 3 << 20);
	changes_mark_all(tree);
	assert_int_equal(layer_write_to(tree, &sink.base, &options, &info, &err), 0);
	assert_true(sink.writes >= 10);
	assert_int_equal(info.entries, 2);
	sink.most = sink.bytes.len / 2;
	buffer_free(&sink.bytes);
	assert_int_equal(layer_write_to(tree, &sink.base, &options, &info, &err), -ENOSPC);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_string_equal(err.message, "the sink is full");
	buffer_free(&sink.bytes);
}

/* A file of a size, of which only so many bytes can be read. */
static void add_sparse(struct tree *tree, const char *name, uint64_t size, uint64_t there)
{
	struct inode *inode = tree_inode_new(tree, S_IFREG | 0640);
	int fd = memfd_create("sparse", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)there), 0);
	inode_set_data(
		tree, inode, tree_own_source(tree, source_from_fd(fd, 0, "sparse")), 0, size);
	tree_link(tree, tree_root(tree), name, strlen(name), inode);
}

/* A file that cannot be read is named, in whichever of its pieces. */
static void test_unreadable(void **state)
{
	(void)state;
	const struct layer_options options = {.keep_mtime = true};
	cleanup_tree struct tree *tree = tree_new();
	struct memory_sink sink = new_sink();
	struct layer_info info;
	struct error err;
	add_file(tree, "a", 1000);
	add_sparse(tree, "b", 3 << 20, 2 << 20);
	changes_mark_all(tree);
	assert_int_equal(layer_write_to(tree, &sink.base, &options, &info, &err), -EIO);
	assert_string_equal(
		err.message, "/b: sparse: ends at byte 2097152, where 262144 more were expected");
	buffer_free(&sink.bytes);
}

/* To the byte, headers, padding and the end included: one block more is refused unread. */
static void test_size_limit(void **state)
{
	(void)state;
	const struct layer_options options = {.keep_mtime = true};
	cleanup_buffer struct buffer headers = {0};
	tar_header_add(&headers, &(struct tar_header){.path = "./", .type = '5'});
	tar_header_add(
		&headers, &(struct tar_header){.path = "f", .type = '0', .size = LAYER_SIZE_MAX});
	uint64_t most = LAYER_SIZE_MAX - headers.len - 2 * TAR_BLOCK;
	const struct {
		uint64_t size;
		enum error_kind kind;
	} table[] = {{most - 1, ERROR_OUTPUT}, {most, ERROR_OUTPUT}, {most + 1, ERROR_LIMIT},
		{most + TAR_BLOCK, ERROR_LIMIT}, {UINT64_MAX, ERROR_LIMIT}};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		cleanup_tree struct tree *tree = tree_new();
		struct memory_sink sink = new_sink();
		struct layer_info info;
		struct error err;
		add_sparse(tree, "f", table[i].size, 1 << 20);
		changes_mark_all(tree);
		sink.most = 0;
		assert_true(layer_write_to(tree, &sink.base, &options, &info, &err) < 0);
		if (err.kind != table[i].kind)
			fail_msg("%llu bytes: %s", (unsigned long long)table[i].size, err.message);
	}
}

static int nothing_is_left(struct tree *tree, struct error *err)
{
	(void)tree, (void)err;
	return 0;
}

static int something_was_wrong(struct tree *tree, struct error *err)
{
	(void)tree;
	return error_set(err, ERROR_INPUT, EILSEQ, "it was changed");
}

/* Whether a tar that is cut there lacks a byte of a header or of a file, and not only padding. */
static bool is_within_entry(const struct buffer *tar, size_t cut)
{
	for (size_t at = 0; tar->data[at] != '\0';) {
		uint64_t size = strtoull((const char *)tar->data + at + 124, NULL, 8);
		size_t next = at + TAR_BLOCK + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
		if (cut < next)
			return cut > at && cut < at + TAR_BLOCK + size;
		at = next;
	}
	return false;
}

/* What fails before the end leaves most of the tar, but never whole entries only. */
static void test_before_end(void **state)
{
	(void)state;
	static const struct {
		unsigned files;
		size_t size;
	} table[] = {{1, 1 << 20}, {1, (1 << 20) - 1024}, {2000, 0}, {2000, 1}, {2000, 256},
		{2000, 257}, {2000, 512}, {2000, 513}, {5, 261632}, {5, 261120}, {5, 262144}};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct layer_options options = {.keep_mtime = true, .before_end = nothing_is_left};
		cleanup_tree struct tree *tree = tree_new();
		struct memory_sink whole = new_sink(), cut = new_sink();
		struct layer_info info;
		struct error err;
		for (unsigned k = 0; k < table[i].files; k++) {
			cleanup_free char *name = xasprintf("%u", k);
			add_file(tree, name, table[i].size);
		}
		changes_mark_all(tree);
		assert_int_equal(layer_write_to(tree, &whole.base, &options, &info, &err), 0);
		assert_int_equal(info.size, whole.bytes.len);
		options.before_end = something_was_wrong;
		assert_int_equal(layer_write_to(tree, &cut.base, &options, &info, &err), -EILSEQ);
		assert_string_equal(err.message, "it was changed");
		assert_true(cut.bytes.len > whole.bytes.len / 4);
		assert_memory_equal(cut.bytes.data, whole.bytes.data, cut.bytes.len);
		if (!is_within_entry(&whole.bytes, cut.bytes.len))
			fail_msg("%u files of %zu bytes: stops at byte %zu", table[i].files,
				table[i].size, cut.bytes.len);
		buffer_free(&whole.bytes);
		buffer_free(&cut.bytes);
	}
}

/* A symlink's mode in a tar is its writer's taste: none of it comes through. */
static void test_symlink_mode(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	cleanup_buffer struct buffer tar = {0};
	struct error err;
	tar_header_add(
		&tar, &(struct tar_header){.path = "l", .type = '2', .mode = 04640, .target = "x"});
	tar_header_add(
		&tar, &(struct tar_header){.path = "h", .type = '1', .mode = 0600, .target = "l"});
	assert_int_equal(
		layer_apply(tree, source_from_bytes(tar.data, tar.len), tar.len, "x", &err), 0);
	cleanup_free char *found = tree_text(tree);
	assert_string_equal(found, "/ d 0755 0:0 0 0.000000000\n"
				   "/h l 0777 0:0 1 0.000000000 -> x\n"
				   "/l l 0777 0:0 1 0.000000000 -> x =/h\n");
}

/* The kernel's largest attribute goes both ways; more than readers take of one file does not. */
static void test_large_attributes(void **state)
{
	(void)state;
	static const char *const names[] = {
		"user.a", "user.b", "user.c", "user.d", "user.e", "user.f", "user.g", "user.h"};
	cleanup_free char *value = xcalloc(1, 65536);
	cleanup_tree struct tree *tree = tree_new();
	struct xattr items[8];
	for (size_t i = 0; i < 8; i++)
		items[i] = (struct xattr){.name = names[i], .value = value, .len = 65536};
	struct inode *inode = add_file(tree, "a", 3);
	inode->xattrs = tree_xattrs(tree, items, 7);
	check_round_trip(tree, "seven attributes of 65536 bytes");

	struct memory_sink sink = new_sink();
	struct layer_info info;
	struct error err;
	inode->xattrs = tree_xattrs(tree, items, 8);
	changes_mark_all(tree);
	assert_true(layer_write_to(tree, &sink.base, &(struct layer_options){0}, &info, &err) < 0);
	assert_int_equal(err.kind, ERROR_LIMIT);
	assert_non_null(strstr(err.message, "/a: its attributes take 524336 bytes"));
	buffer_free(&sink.bytes);
}

/* An ACL is text only where that is asked for, and where its bytes are one. */
static void test_acl_text(void **state)
{
	(void)state;
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 4, 0, 7, 0,
		0, 0, 4, 0, 5, 0, 255, 255, 255, 255, 16, 0, 5, 0, 255, 255, 255, 255, 32, 0, 0, 0,
		255, 255, 255, 255};
	static const char *const text = "SCHILY.acl.access=user::rwx,user:7:r--,group::r-x,"
					"mask::r-x,other::---\n";
	for (size_t i = 0; i < 3; i++) {
		const struct xattr item = {.name = "system.posix_acl_access",
			.value = acl,
			.len = sizeof(acl) - (i == 2)};
		const struct layer_options options = {.acl_text = i != 0};
		cleanup_tree struct tree *tree = tree_new();
		struct memory_sink sink = new_sink();
		struct layer_info info;
		struct error err;
		add_file(tree, "a", 3)->xattrs = tree_xattrs(tree, &item, 1);
		changes_mark_all(tree);
		assert_int_equal(layer_write_to(tree, &sink.base, &options, &info, &err), 0);
		const void *found = memmem(sink.bytes.data, sink.bytes.len, text, strlen(text));
		assert_int_equal(found != NULL, i == 1);
		assert_int_equal(
			memmem(sink.bytes.data, sink.bytes.len, "SCHILY.acl", 10) != NULL, i == 1);
		buffer_free(&sink.bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_sink),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_before_end),
		cmocka_unit_test(test_symlink_mode),
		cmocka_unit_test(test_large_attributes),
		cmocka_unit_test(test_acl_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
