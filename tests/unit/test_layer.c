/* Layers applied one over the other, by the rules of the image-spec: a table of small cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "layer/layer.h"
#include "layer/tar_header.h"
#include "layer_text.h"
#include "support/memory.h"
#include "support/ustar.h"
#include "tree/changes.h"

/* Layers and the result in the language of layer_text.h. */
struct layer_case {
	const char *name;
	const char *layers[4];
	const char *expected; /* NULL: must fail */
	const char *error;    /* words that the message must have */
};

static const struct layer_case cases[] = {
	{"empty", {""}, "", NULL},
	{"parents are made", {"f a/b/c=1"}, "d a;d a/b;f a/b/c=1", NULL},
	{"upper wins", {"f a=1", "f a=2"}, "f a=2", NULL},
	{"last of two in one layer wins", {"f a=1;f a=2"}, "f a=2", NULL},
	{"whiteout", {"f a=1;f b=2", "f .wh.a="}, "f b=2", NULL},
	{"whiteout of a directory", {"d a;f a/x=1;f b=2", "f .wh.a="}, "f b=2", NULL},
	{"whiteout of nothing", {"f a=1", "f .wh.z=;f q/.wh.z="}, "f a=1", NULL},
	{"whiteout with a slash", {"d a;f a/x=1;f b=2", "d .wh.a/"}, "f b=2", NULL},
	{"opaque with a slash", {"f a/x=1", "d a/.wh..wh..opq/./;f a/y=2"}, "d a;f a/y=2", NULL},
	{"whiteout in a deep directory", {"f a/b/c=1;f a/b/d=2", "f a/b/.wh.c="},
		"d a;d a/b;f a/b/d=2", NULL},
	{"whiteout spares its own layer", {"f a=1", "f a=2;f .wh.a="}, "f a=2", NULL},
	{"whiteout before the new entry", {"f a=1", "f .wh.a=;f a=2"}, "f a=2", NULL},
	{"whiteout of a directory made again", {"d a;f a/old=1", "f .wh.a=;d a;f a/new=2"},
		"d a;f a/new=2", NULL},
	{"the same, whiteout last", {"d a;f a/old=1", "d a;f a/new=2;f .wh.a="}, "d a;f a/new=2",
		NULL},
	{"opaque", {"d a;f a/x=1;f a/y=2", "d a;f a/.wh..wh..opq=;f a/z=3"}, "d a;f a/z=3", NULL},
	{"opaque last", {"d a;f a/x=1;f a/y=2", "d a;f a/y=3;f a/.wh..wh..opq="}, "d a;f a/y=3",
		NULL},
	{"opaque, deep", {"f a/b/x=1;f a/c=1", "f a/b/y=2;f a/.wh..wh..opq="},
		"d a;d a/b;f a/b/y=2", NULL},
	{"opaque twice", {"f a/b/x=1", "f a/.wh..wh..opq=;f a/b/y=2;f a/.wh..wh..opq="},
		"d a;d a/b;f a/b/y=2", NULL},
	{"opaque in two layers", {"f a/x=1", "f a/.wh..wh..opq=;f a/y=2", "f a/.wh..wh..opq="},
		"d a", NULL},
	{"opaque, then above it",
		{"f a/b/x=1;f a/c=1", "d a/b;f a/b/.wh..wh..opq=;f a/.wh..wh..opq="}, "d a;d a/b",
		NULL},
	{"opaque, then made again", {"f a/x=1", "f a/.wh..wh..opq=;f a=2;d a;f a/x=3"},
		"d a;f a/x=3", NULL},
	{"opaque root", {"f x=1;d d", "f .wh..wh..opq=;f y=1"}, "f y=1", NULL},
	{"aufs notes", {"f .wh..wh.plnk=;f .wh..wh.orph=;f a=1"}, "f a=1", NULL},
	{"file over directory", {"d a;f a/x=1", "f a=2"}, "f a=2", NULL},
	{"directory over file", {"f a=2", "d a;f a/x=1"}, "d a;f a/x=1", NULL},
	{"file and directory by turns",
		{"d a;f a/x=1;h y>a/x", "f a=1;d a;f a/x=2;f a=3;d a;f a/z=4"}, "d a;f a/z=4;f y=1",
		NULL},
	{"directory over directory keeps", {"d a;f a/x=1", "d a"}, "d a;f a/x=1", NULL},
	{"symlink over directory", {"d a;f a/x=1", "l a>b"}, "l a>b", NULL},
	{"directory over symlink", {"d b;f b/x=1;l a>b", "d a"}, "d a;d b;f b/x=1", NULL},
	{"fifo and device", {"p a;c b"}, "p a;c b", NULL},
	{"hard link", {"f a=1;h b>a"}, "f a=1;h b=a", NULL},
	{"hard link to a lower layer", {"f z=1", "h b>z"}, "f b=1;h z=b", NULL},
	{"link target replaced keeps the inode", {"f a=1;h b>a", "f a=2"}, "f a=2;f b=1", NULL},
	{"link target deleted", {"f a=1;h b>a", "f .wh.a="}, "f b=1", NULL},
	{"hard link to a symlink", {"l a>x;h b>a"}, "l a>x;h b=a", NULL},
	{"hard link to itself", {"f a=1;h a>a"}, "f a=1", NULL},
	{"hard link of nothing", {"h b>a"}, NULL, "not there"},
	{"hard link to a directory", {"d a;h b>a"}, NULL, "is a directory"},
	{"hard link out", {"h b>../a"}, NULL, "\"..\""},
	{"through a symlink to a directory", {"d usr/bin;l bin>usr/bin", "f bin/x=1"},
		"l bin>usr/bin;d usr;d usr/bin;f usr/bin/x=1", NULL},
	{"through an absolute symlink", {"d usr/bin;l bin>/usr/bin", "f bin/x=1"},
		"l bin>/usr/bin;d usr;d usr/bin;f usr/bin/x=1", NULL},
	{"symlink with .. stays in the root", {"d b;l a>../../b", "f a/x=1"},
		"l a>../../b;d b;f b/x=1", NULL},
	{"whiteout through a symlink", {"d b;f b/x=1;l a>b", "f a/.wh.x="}, "l a>b;d b", NULL},
	{"symlink loop", {"l a>b;l b>a", "f a/x=1"}, NULL, "loop"},
	{"as many symlinks as the kernel follows",
		{"l l>.", "f "
			  "l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/"
			  "l/l/l/l/x=1"},
		"l l>.;f x=1", NULL},
	{"one symlink more",
		{"l l>.", "f "
			  "l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/l/"
			  "l/l/l/l/l/x=1"},
		NULL, "more than 40 symlinks"},
	{"symlink to nowhere", {"l a>gone", "f a/x=1"}, NULL, "not there"},
	{"symlink to a file", {"f b=1;l a>b", "f a/x=1"}, NULL, "symlink to what is no directory"},
	{"below a file", {"f a=1;f a/x=1"}, NULL, "no directory"},
	{"dot dot", {"f ../x=1"}, NULL, "\"..\""},
	{"dot dot inside", {"f a/../../x=1"}, NULL, "\"..\""},
	{"absolute name", {"f /a=1"}, "f a=1", NULL},
	{"dots and slashes", {"f ./a//./b=1"}, "d a;f a/b=1", NULL},
	{"root as a directory", {"d ./;f a=1"}, "f a=1", NULL},
	{"root as a symlink", {"l .>x"}, NULL, "root"},
	{"root as a file", {"f .=1"}, NULL, "root"},
	{"whiteout of no name", {"f .wh.="}, NULL, "no name"},
	{"whiteout of dot dot", {"f a/.wh...="}, NULL, "no name"},
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct layer_case *c = &cases[i];
		cleanup_tree struct tree *tree = tree_new();
		struct error err;
		int r = 0;
		for (size_t k = 0; k < 4 && c->layers[k] != NULL && r == 0; k++)
			r = layer_text_apply(tree, c->layers[k], &err);
		if (c->expected == NULL) {
			if (r == 0 || strstr(err.message, c->error) == NULL)
				fail_msg("%s: %s", c->name, r == 0 ? "did not fail" : err.message);
			assert_int_equal(err.kind, ERROR_INPUT);
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", c->name, err.message);
		cleanup_free char *found = layer_text_of(tree);
		if (strcmp(found, c->expected) != 0)
			fail_msg("%s: expected %s, found %s", c->name, c->expected, found);
	}
}

/* What differs between two states, as the layer that is written for it. */
struct diff_case {
	const char *name;
	const char *base;
	const char *unlink;   /* a path, or NULL */
	const char *layer;    /* applied after the unlink */
	const char *expected; /* the new layer's entries in order */
};

static const struct diff_case diff_cases[] = {
	{"nothing", "d a;f a/x=1", NULL, "", ""},
	{"new file, parents written", "d a;d a/b", NULL, "f a/b/x=1", "a/;a/b/;a/b/x"},
	{"deleted", "d a;f a/x=1;f a/y=1", "a/x", "", "a/;a/.wh.x"},
	{"deleted directory: one whiteout", "d a;d a/b;f a/b/x=1", "a/b", "", "a/;a/.wh.b"},
	{"whiteouts first", "d a;f a/z=1;f a/m=1", "a/z", "f a/b=1", "a/;a/.wh.z;a/b"},
	{"directory to file: no whiteouts below", "d a;f a/x=1", NULL, "f a=1", "a"},
	{"file to directory", "f a=1", NULL, "d a;f a/x=1", "a/;a/x"},
	{"directory made again", "d a;f a/x=1;f a/y=1", "a", "d a;f a/y=2", "a/;a/.wh.x;a/y"},
	{"hard link added: all names", "f a=1;f z=1", NULL, "h b>a", "a;b"},
	{"a name of two deleted", "f a=1;h b>a", "a", "", ".wh.a"},
	{"the second of two", "f a=1;h b>a", "b", "", ".wh.b"},
	{"one of two replaced", "f a=1;h b>a", NULL, "f a=2", "a"},
	{"one of two made anew", "f a=1;h b>a", NULL, "f a=1", "a;b"},
	{"one of three made anew", "f a=1;h b>a;h c>a", "b", "f a=1", ".wh.b;a;c"},
	{"one gone, one new", "f a=1;h b>a", "b", "h c>a", ".wh.b;a;c"},
	{"with its folder", "d d;f d/a=1;h b>d/a", "d", "", ".wh.d"},
	{"two files become one", "f a=1;f b=1", NULL, "h b>a", "a;b"},
	{"same content again is no change", "f a=1", "a", "f a=1", ""},
	{"other content is", "f a=1", "a", "f a=2", "a"},
};

static void test_diffs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(diff_cases) / sizeof(diff_cases[0]); i++) {
		const struct diff_case *c = &diff_cases[i];
		cleanup_tree struct tree *tree = tree_new();
		cleanup_buffer struct buffer found = {0};
		struct changes changes;
		struct error err;
		assert_int_equal(layer_text_apply(tree, c->base, &err), 0);
		tree_freeze(tree);
		if (c->unlink != NULL)
			tree_unlink(tree, tree_walk(tree, c->unlink));
		if (layer_text_apply(tree, c->layer, &err) < 0)
			fail_msg("%s: %s", c->name, err.message);
		assert_int_equal(changes_mark(tree, &changes, &err), 0);

		FILE *file = tmpfile();
		struct layer_info info;
		assert_int_equal(
			layer_write(tree, fileno(file), &(struct layer_options){0}, &info, &err),
			0);
		for (uint64_t at = 0; at < info.size;) {
			char block[TAR_BLOCK];
			assert_int_equal(
				pread(fileno(file), block, sizeof(block), (off_t)at), TAR_BLOCK);
			if (block[0] == '\0')
				break;
			if (found.len != 0)
				buffer_add_text(&found, ";");
			buffer_printf(&found, "%.100s", block);
			at += TAR_BLOCK;
			at += (strtoull(block + 124, NULL, 8) + 511) / 512 * 512;
		}
		fclose(file);
		cleanup_free char *text = buffer_steal_text(&found);
		if (strcmp(text, c->expected) != 0)
			fail_msg("%s: expected %s, found %s", c->name, c->expected, text);
	}
}

/*
 * What a layer says again and again about a large directory must not cost that directory's size
 * each time.
 */
static void test_again_and_again(void **state)
{
	static const char *const repeated[] = {
		"f d/.wh..wh..opq=", "f .wh.d=", "f .wh..wh..opq=", "f d=;d d"};
	(void)state;
	cleanup_buffer struct buffer files = {0};
	for (int i = 0; i < 50000; i++)
		buffer_printf(&files, "%sp d/%d", i > 0 ? ";" : "", i);
	cleanup_free char *names = buffer_steal_text(&files);
	for (size_t i = 0; i < sizeof(repeated) / sizeof(repeated[0]); i++) {
		cleanup_tree struct tree *tree = tree_new();
		cleanup_buffer struct buffer tar = {0};
		struct error err;
		layer_text_add(&tar, names);
		tar.len -= 2 * TAR_BLOCK;
		for (int k = 0; k < 50000; k++) {
			layer_text_add(&tar, repeated[i]);
			tar.len -= 2 * TAR_BLOCK;
		}
		struct timespec before, after;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
		assert_int_equal(
			layer_apply(tree, source_from_bytes(tar.data, tar.len), tar.len, "x", &err),
			0);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
		assert_in_range(after.tv_sec - before.tv_sec, 0, 4);
	}
}

static void test_truncated(void **state)
{
	(void)state;
	cleanup_buffer struct buffer tar = {0};
	layer_text_add(&tar, "d a;f a/x=12345;l a/s>x;h a/h>a/x");
	/* Up to the end marker every cut must be seen, unless it falls between two entries. */
	for (size_t cut = 0; cut < tar.len - 2 * TAR_BLOCK; cut++) {
		cleanup_tree struct tree *tree = tree_new();
		struct error err;
		int r = layer_apply(tree, source_from_bytes(tar.data, cut), cut, "layer", &err);
		if (cut % TAR_BLOCK != 0)
			assert_int_not_equal(r, 0);
	}
}

/* Times before 1970 come back as they went; -0.x s, which libarchive reads as 0.x, apart. */
static void test_old_mtimes(void **state)
{
	static const struct {
		int64_t sec;
		uint32_t nsec;
	} times[] = {{-1, 0}, {-2, 1}, {-312753294, 123456789}, {0, 5}, {1, 0}};
	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		cleanup_tree struct tree *tree = tree_new();
		cleanup_buffer struct buffer tar = {0};
		struct error err;
		tar_header_add(&tar, &(struct tar_header){.path = "x",
					     .type = '6',
					     .mode = 0644,
					     .mtime_sec = times[i].sec,
					     .mtime_nsec = times[i].nsec});
		assert_int_equal(
			layer_apply(tree, source_from_bytes(tar.data, tar.len), tar.len, "x", &err),
			0);
		const struct inode *inode = tree_walk(tree, "x")->inode;
		assert_int_equal(inode->mtime_sec, times[i].sec);
		assert_int_equal(inode->mtime_nsec, times[i].nsec);
	}
}

/* A time that a number of base 256 can tell, but no text that libarchive reads. */
static void test_lowest_mtime(void **state)
{
	static const uint8_t lowest[12] = {0xff, 0xff, 0xff, 0xff, 0x80};
	cleanup_tree struct tree *tree = tree_new();
	cleanup_buffer struct buffer tar = {0};
	struct ustar header;
	struct error err;
	(void)state;
	ustar_init(&header, '6', 0644);
	header.name[0] = 'x';
	memcpy(header.mtime, lowest, sizeof(header.mtime));
	ustar_put_checksum(&header);
	buffer_add(&tar, &header, sizeof(header));
	assert_int_equal(
		layer_apply(tree, source_from_bytes(tar.data, tar.len), tar.len, "x", &err), 0);
	assert_int_equal(tree_walk(tree, "x")->inode->mtime_sec, -INT64_MAX);
}

/* A pax header with records, which are less than a block. */
static void add_pax(struct buffer *tar, const char *records)
{
	char block[TAR_BLOCK] = "";
	for (const char *p = records; *p != '\0'; p = strchr(p, '\n') + 1)
		assert_int_equal(strtol(p, NULL, 10), strchr(p, '\n') + 1 - p);
	tar_header_add(
		tar, &(struct tar_header){
			     .path = "pax", .type = 'x', .mode = 0644, .size = strlen(records)});
	memcpy(block, records, strlen(records));
	buffer_add(tar, block, sizeof(block));
}

#define ONE_PIECE "24 GNU.sparse.size=1000\n26 GNU.sparse.numblocks=1\n"
#define TWO_PIECES "24 GNU.sparse.size=1000\n26 GNU.sparse.numblocks=2\n"

/* Data is what follows the file's own header, and not what follows the next one's. */
static void test_sparse_map(void **state)
{
	static const struct {
		const char *records;
		bool fits;
	} maps[] = {
		{ONE_PIECE "22 GNU.sparse.map=0,5\n", true},
		{ONE_PIECE "22 GNU.sparse.map=2,5\n", true},
		{TWO_PIECES "26 GNU.sparse.map=0,5,9,0\n", true},
		{ONE_PIECE "26 GNU.sparse.map=0,5,9,0\n", false},
		{ONE_PIECE "22 GNU.sparse.map=0,4\n", false},
		{ONE_PIECE "24 GNU.sparse.map=0,600\n", false},
		{ONE_PIECE "24 GNU.sparse.map=996,5\n", false},
		{TWO_PIECES "28 GNU.sparse.map=0,5,6,600\n", false},
		{TWO_PIECES "26 GNU.sparse.map=9,1,0,4\n", false},
		{ONE_PIECE, false},
		{"24 GNU.sparse.size=1000\n22 GNU.sparse.map=0,5\n", false},
	};
	(void)state;
	for (size_t i = 0; i < 2 * sizeof(maps) / sizeof(maps[0]); i++) {
		cleanup_tree struct tree *tree = tree_new();
		cleanup_buffer struct buffer tar = {0};
		struct error err;
		add_pax(&tar, maps[i / 2].records);
		layer_text_add(&tar, i % 2 == 0 ? "f x=12345" : "f x=12345;f y=1;f z=1");
		int r = layer_apply(
			tree, source_from_bytes(tar.data, tar.len), tar.len, "layer", &err);
		if ((r == 0) != maps[i / 2].fits)
			fail_msg("map %zu: %s", i / 2, r == 0 ? "was taken" : err.message);
		if (r < 0)
			assert_int_equal(err.kind, ERROR_INPUT);
	}
}

/*
 * Attributes are those that container runtimes read: ACLs that are text, whatever users they name,
 * and the other tools' own records are passed over, and so is what no Linux has.
 */
static void test_xattrs(void **state)
{
	/* The records of a pax header as GNU tar and bsdtar write them, lengths included. */
	static const char records[] =
		"27 SCHILY.xattr.user.a=one\n"
		"27 SCHILY.xattr.user.a=two\n"
		"32 LIBARCHIVE.xattr.user.b=dHdv\n"
		"26 RHT.security.selinux=x\n"
		"36 SCHILY.xattr.com.apple.thing=two\n"
		"78 SCHILY.acl.access=user::rwx,user:games:r--,group::r--,mask::rwx,"
		"other::---\n";
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	cleanup_buffer struct buffer tar = {0};
	struct error err;
	add_pax(&tar, records);
	tar_header_add(&tar, &(struct tar_header){.path = "x", .type = '6', .mode = 0750});
	if (layer_apply(tree, source_from_bytes(tar.data, tar.len), tar.len, "x", &err) < 0)
		fail_msg("%s", err.message);
	const struct inode *inode = tree_walk(tree, "x")->inode;
	assert_int_equal(inode->mode & 07777, 0750);
	assert_int_equal(inode->xattrs->count, 1);
	assert_string_equal(inode->xattrs->items[0].name, "user.a");
	assert_memory_equal(inode->xattrs->items[0].value, "two", 3);
}

/* Writes what is marked, which must fail with an ERROR_LIMIT that has the words in it. */
static void check_marked_refused(struct tree *tree, const char *words)
{
	struct error err;
	struct layer_info info;
	FILE *file = tmpfile();
	assert_int_not_equal(
		layer_write(tree, fileno(file), &(struct layer_options){0}, &info, &err), 0);
	fclose(file);
	assert_int_equal(err.kind, ERROR_LIMIT);
	if (strstr(err.message, words) == NULL)
		fail_msg("expected \"%s\" in: %s", words, err.message);
}

/* As check_marked_refused, of the whole tree. */
static void check_refused(struct tree *tree, const char *words)
{
	changes_mark_all(tree);
	check_marked_refused(tree, words);
}

/* ".wh..wh.x" would be passed over as a note of aufs, and the name would be there again. */
static void test_whiteout_name_gone(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct changes changes;
	struct error err;
	struct inode *inode = tree_inode_new(tree, S_IFDIR | 0755);
	struct dentry *d = tree_link(tree, tree_root(tree), ".wh.x", 5, inode);
	tree_freeze(tree);
	tree_unlink(tree, d);
	assert_int_equal(changes_mark(tree, &changes, &err), 0);
	check_marked_refused(tree, "/.wh.x: is gone");
}

static void test_whiteout_name_in_tree(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	tree_link(tree, tree_root(tree), ".wh.x", 5, tree_inode_new(tree, S_IFREG | 0644));
	check_refused(tree, "/.wh.x");
}

/* As a directory that a script goes into again and again. */
static void test_path_too_long(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct dentry *d = tree_root(tree);
	for (int i = 0; i < 2049; i++)
		d = tree_link(tree, d, "d", 1, tree_inode_new(tree, S_IFDIR | 0755));
	check_refused(tree, "a path of 4097 bytes");
}

static void test_attribute_with_equals_sign(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	const struct xattr attribute = {.name = "user.a=b", .value = "c", .len = 1};
	struct inode *inode = tree_inode_new(tree, S_IFREG | 0644);
	inode->xattrs = tree_xattrs(tree, &attribute, 1);
	tree_link(tree, tree_root(tree), "x", 1, inode);
	check_refused(tree, "/x: attribute user.a=b");
}

/* Holes become zeros: a file of no blocks could fill the host's disk. */
static void test_layer_too_large(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct inode *inode = tree_inode_new(tree, S_IFREG | 0644);
	inode->size = UINT64_C(16) << 40;
	tree_link(tree, tree_root(tree), "x", 1, inode);
	check_refused(tree, "/x: its 17592186044416 bytes");
}

static void test_mtime_max(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	cleanup_tree struct tree *copy = tree_new();
	struct error err;
	struct changes changes;
	struct layer_info info;
	FILE *file = tmpfile();
	assert_int_equal(layer_text_apply(tree, "d kept", &err), 0);
	tree_walk(tree, "kept")->inode->mtime_sec = 5000;
	tree_freeze(tree);
	assert_int_equal(layer_text_apply(tree, "f kept/young=1;f kept/old=1", &err), 0);
	tree_walk(tree, "kept/young")->inode->mtime_sec = 2000;
	tree_walk(tree, "kept/young")->inode->mtime_nsec = 5;
	tree_walk(tree, "kept/old")->inode->mtime_sec = 500;
	tree_walk(tree, "kept/old")->inode->mtime_nsec = 7;
	assert_int_equal(changes_mark(tree, &changes, &err), 0);
	const struct layer_options options = {.mtime_max = 1000};
	assert_int_equal(layer_write(tree, fileno(file), &options, &info, &err), 0);
	assert_int_equal(layer_apply(copy, source_from_fd(dup(fileno(file)), 0, "layer"), info.size,
				 "layer", &err),
		0);
	assert_int_equal(tree_walk(copy, "kept")->inode->mtime_sec, 5000);
	assert_int_equal(tree_walk(copy, "kept/young")->inode->mtime_sec, 1000);
	assert_int_equal(tree_walk(copy, "kept/young")->inode->mtime_nsec, 0);
	assert_int_equal(tree_walk(copy, "kept/old")->inode->mtime_sec, 500);
	assert_int_equal(tree_walk(copy, "kept/old")->inode->mtime_nsec, 7);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_diffs),
		cmocka_unit_test(test_again_and_again),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_old_mtimes),
		cmocka_unit_test(test_lowest_mtime),
		cmocka_unit_test(test_sparse_map),
		cmocka_unit_test(test_xattrs),
		cmocka_unit_test(test_whiteout_name_in_tree),
		cmocka_unit_test(test_whiteout_name_gone),
		cmocka_unit_test(test_path_too_long),
		cmocka_unit_test(test_attribute_with_equals_sign),
		cmocka_unit_test(test_layer_too_large),
		cmocka_unit_test(test_mtime_max),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
