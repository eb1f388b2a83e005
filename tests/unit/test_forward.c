/* Layers read from feeds give the same files as from files, and keep no more than they must. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "layer/layer.h"
#include "random_tree.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "support/ustar.h"
#include "tree/changes.h"
#include "tree/forward.h"

#define LAYERS 3

/* Bytes in memory as a feed, in pieces of a given length. */
struct memory_feed {
	struct feed base;
	const uint8_t *data;
	size_t len, position, piece;
	size_t fails_at; /* no byte from here on is given, but an error; SIZE_MAX: none */
	unsigned rewinds, ends;
};

static int next(struct feed *feed, const uint8_t **data, size_t *len, struct error *err)
{
	struct memory_feed *f = (struct memory_feed *)feed;
	size_t left = f->len - f->position;
	if (f->position >= f->fails_at)
		return error_set(err, ERROR_LIMIT, EFBIG, "the feed has failed");
	*data = f->data + f->position;
	*len = left < f->piece ? left : f->piece;
	f->position += *len;
	f->ends += *len == 0;
	return 0;
}

static void rewind_feed(struct feed *feed)
{
	struct memory_feed *f = (struct memory_feed *)feed;
	f->position = 0;
	f->rewinds++;
}

/* The test's own. */
static void free_feed(struct feed *feed)
{
	(void)feed;
}

static struct memory_feed feed_of(const void *data, size_t len, size_t piece)
{
	return (struct memory_feed){
		.base = {.next = next, .rewind = rewind_feed, .free = free_feed},
		.data = data,
		.len = len,
		.piece = piece,
		.fails_at = SIZE_MAX,
	};
}

/* Everything that is marked, as a tar. */
static struct buffer write_marked(struct tree *tree)
{
	const struct layer_options options = {.keep_mtime = true};
	struct layer_info info;
	struct buffer tar = {0};
	struct error err;
	cleanup_close int fd = memfd_create("layer", MFD_CLOEXEC);
	assert_true(fd >= 0);
	if (layer_write(tree, fd, &options, &info, &err) < 0)
		fail_msg("%s", err.message);
	assert_true(lseek(fd, 0, SEEK_SET) == 0);
	assert_int_equal(file_read_all(fd, 1u << 30, &tar, "layer", &err), 0);
	return tar;
}

static struct buffer write_whole(struct tree *tree)
{
	changes_mark_all(tree);
	return write_marked(tree);
}

static void apply_bytes(struct tree *tree, const struct buffer *tar)
{
	struct error err;
	struct source *source = source_from_bytes(tar->data, tar->len);
	if (layer_apply(tree, source, tar->len, "layer", &err) < 0)
		fail_msg("%s", err.message);
}

static void apply_feed(struct tree *tree, struct memory_feed *feed)
{
	struct error err;
	struct source *source = source_forward(&feed->base, "layer");
	if (layer_apply_feed(tree, &feed->base, source, "layer", &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(feed->ends, 1);
}

/* An entry of a tar, pax header and data included. */
struct piece {
	size_t offset, len;
	char type;
};

static size_t member_size(const struct ustar *header)
{
	char text[sizeof(header->size) + 1] = {0};
	memcpy(text, header->size, sizeof(header->size));
	size_t size = strtoul(text, NULL, 8);
	return TAR_BLOCK + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

static size_t split(const struct buffer *tar, struct piece *pieces)
{
	size_t count = 0;
	for (size_t at = 0; at + 2 * TAR_BLOCK < tar->len;) {
		const struct ustar *header = (const struct ustar *)(tar->data + at);
		pieces[count].offset = at;
		if (header->typeflag == 'x') {
			at += member_size(header);
			header = (const struct ustar *)(tar->data + at);
		}
		pieces[count].type = header->typeflag;
		at += member_size(header);
		pieces[count].len = at - pieces[count].offset;
		count++;
	}
	return count;
}

/* The same entries in another order; folders stay before the rest, and hard links behind it. */
static void shuffle(struct random *random, struct buffer *tar)
{
	cleanup_free struct piece *pieces = xcalloc(tar->len / TAR_BLOCK, sizeof(*pieces));
	cleanup_buffer struct buffer out = {0};
	size_t count = split(tar, pieces);
	for (size_t i = count; i > 1; i--) {
		size_t k = random_below(random, (uint32_t)i);
		if (pieces[k].type == '5' || pieces[i - 1].type == '5')
			continue;
		struct piece piece = pieces[k];
		pieces[k] = pieces[i - 1];
		pieces[i - 1] = piece;
	}
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < count; i++) {
			char type = pieces[i].type;
			if ((type == '5' ? 0u : type == '1' ? 2u : 1u) == round)
				buffer_add(&out, tar->data + pieces[i].offset, pieces[i].len);
		}
	}
	memcpy(tar->data, out.data, out.len);
}

/* A stack of layers: the first is a whole tree, each further one what was changed in it. */
static void make_stack(struct random *random, struct buffer tars[LAYERS], bool is_shuffled)
{
	cleanup_tree struct tree *tree = tree_new();
	for (size_t i = 0; i < LAYERS; i++) {
		struct changes changes;
		struct error err;
		random_changes(random, tree, i == 0 ? 80 : 30);
		if (i == 0)
			changes_mark_all(tree);
		else
			assert_int_equal(changes_mark(tree, &changes, &err), 0);
		tars[i] = write_marked(tree);
		tree_freeze(tree);
		if (is_shuffled)
			shuffle(random, &tars[i]);
	}
}

/* The tree of the stack, where `forward` has a bit for each layer that is read from a feed. */
static void compare(struct random *random, const struct buffer tars[LAYERS], unsigned forward)
{
	struct memory_feed feeds[LAYERS];
	struct error err;
	cleanup_tree struct tree *expected = tree_new();
	cleanup_tree struct tree *found = tree_new();
	for (size_t i = 0; i < LAYERS; i++) {
		feeds[i] = feed_of(tars[i].data, tars[i].len, 1 + random_below(random, 9000));
		apply_bytes(expected, &tars[i]);
		if (forward & 1u << i)
			apply_feed(found, &feeds[i]);
		else
			apply_bytes(found, &tars[i]);
	}
	cleanup_buffer struct buffer wanted = write_whole(expected);
	forward_expect(found);
	cleanup_buffer struct buffer got = write_whole(found);
	if (forward_finish(found, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(got.len, wanted.len);
	assert_memory_equal(got.data, wanted.data, got.len);
	/* What was begun was read to its end, for its digest. */
	for (size_t i = 0; i < LAYERS; i++) {
		assert_true(feeds[i].rewinds <= 1);
		if (forward & 1u << i)
			assert_int_equal(feeds[i].ends, 1 + feeds[i].rewinds);
	}
}

static void test_stacks(void **state)
{
	uint64_t seed = *(const uint64_t *)*state;
	for (unsigned i = 0; i < 60; i++) {
		struct random random = {.state = seed + i};
		struct buffer tars[LAYERS];
		make_stack(&random, tars, i % 2 == 1);
		compare(&random, tars, 1 + i % 7);
		for (size_t l = 0; l < LAYERS; l++)
			buffer_free(&tars[l]);
	}
}

/* Layers in the order of the output: nothing is kept, whatever the layers above hide. */
static void test_sorted(void **state)
{
	uint64_t seed = *(const uint64_t *)*state;
	for (unsigned i = 0; i < 30; i++) {
		struct random random = {.state = seed + i};
		struct buffer tars[LAYERS];
		make_stack(&random, tars, false);
		cleanup_tree struct tree *tree = tree_new();
		/* Written again, since a hard link of a diff may lead to any of its names. */
		apply_bytes(tree, &tars[0]);
		cleanup_buffer struct buffer sorted = write_whole(tree);
		struct memory_feed feed = feed_of(sorted.data, sorted.len, 4096);
		cleanup_tree struct tree *found = tree_new();
		apply_feed(found, &feed);
		forward_expect(found);
		cleanup_buffer struct buffer got = write_whole(found);
		assert_int_equal(got.len, sorted.len);
		assert_memory_equal(got.data, sorted.data, got.len);
		assert_int_equal(forward_kept(found), 0);
		for (size_t l = 0; l < LAYERS; l++)
			buffer_free(&tars[l]);
	}
}

/* A layer of files "a" to "z", each as many times 1000 bytes as its place in the alphabet. */
static struct tree *letters(const char *order, struct buffer *tar, struct memory_feed *feed)
{
	static const uint8_t zeros[TAR_BLOCK];
	static uint8_t data[26000];
	for (const char *c = order; *c != '\0'; c++) {
		size_t size = 1000 * (size_t)(*c - 'a' + 1);
		struct ustar header;
		ustar_init(&header, '0', 0644);
		header.name[0] = *c;
		ustar_put_octal(header.size, sizeof(header.size), size);
		ustar_put_checksum(&header);
		memset(data, *c, size);
		buffer_add(tar, &header, sizeof(header));
		buffer_add(tar, data, size);
		buffer_add(tar, zeros, (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
	}
	for (unsigned i = 0; i < 2; i++)
		buffer_add(tar, zeros, sizeof(zeros));
	struct tree *tree = tree_new();
	*feed = feed_of(tar->data, tar->len, 700);
	apply_feed(tree, feed);
	return tree;
}

static struct dentry *letter(struct tree *tree, char name)
{
	struct dentry *d = tree_find(tree, tree_root(tree), &name, 1);
	assert_non_null(d);
	return d;
}

static void test_kept(void **state)
{
	(void)state;
	static const struct {
		const char *order;
		const char *gone; /* hidden by what comes above */
		const char *read;
		uint64_t kept;
	} cases[] = {
		{"abcd", "", "abcd", 0},
		{"abcd", "bc", "ad", 0},
		{"bacd", "", "abcd", 2000},
		{"dcba", "", "abcd", 9000},
		{"dcba", "d", "abc", 5000},
		{"dcba", "abc", "d", 0},
		{"cadb", "", "abcd", 7000},
		{"zabc", "", "abcz", 26000},
		{"abcd", "", "dcba", 6000},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_buffer struct buffer tar = {0};
		struct memory_feed feed;
		struct error err;
		cleanup_tree struct tree *tree = letters(cases[i].order, &tar, &feed);
		for (const char *c = cases[i].gone; *c != '\0'; c++)
			tree_unlink(tree, letter(tree, *c));
		/* More than once: what was kept for the first time is forgotten. */
		for (unsigned round = 1; round <= 2; round++) {
			forward_expect(tree);
			for (const char *c = cases[i].read; *c != '\0'; c++) {
				const struct inode *inode = letter(tree, *c)->inode;
				uint8_t data[26000];
				/* In two parts, as large files are read. */
				assert_int_equal(inode_read(inode, data, 300, 0, &err), 0);
				assert_int_equal(
					inode_read(inode, data + 300, inode->size - 300, 300, &err),
					0);
				for (size_t k = 0; k < inode->size; k++)
					assert_int_equal(data[k], *c);
			}
			assert_int_equal(forward_finish(tree, &err), 0);
			assert_int_equal(forward_kept(tree), cases[i].kept);
			assert_int_equal(feed.rewinds, round);
			assert_int_equal(feed.ends, 1 + round);
		}
	}
}

/* A file's parts may lie in the layer in any order. */
static void test_segments(void **state)
{
	(void)state;
	static const struct segment segments[] = {
		{.logical = 0, .length = 4, .offset = 12},
		{.logical = 6, .length = 3, .offset = 2},
		{.logical = 9, .length = 2, .offset = 20},
	};
	static const char bytes[] = "0123456789abcdefghijklmnop";
	static const char expected[12] = "cdef\0\0"
					 "234kl";
	struct memory_feed feed = feed_of(bytes, sizeof(bytes), 5);
	cleanup_tree struct tree *tree = tree_new();
	struct inode *inode = tree_inode_new(tree, S_IFREG | 0644);
	inode->size = sizeof(expected);
	inode->segments = segments;
	inode->segment_count = sizeof(segments) / sizeof(segments[0]);
	inode->source = tree_own_source(tree, source_forward(&feed.base, "layer"));
	tree_link(tree, tree_root(tree), "file", 4, inode);
	char found[sizeof(expected)];
	struct error err;
	forward_expect(tree);
	for (size_t i = 0; i < sizeof(found); i++)
		assert_int_equal(inode_read(inode, found + i, 1, i, &err), 0);
	assert_memory_equal(found, expected, sizeof(found));
	assert_int_equal(forward_kept(tree), 3);
}

static void assert_error(const struct error *err, int r, enum error_kind kind, const char *part)
{
	assert_true(r < 0);
	if (strstr(err->message, part) == NULL)
		fail_msg("expected \"%s\" in the error \"%s\"", part, err->message);
	assert_int_equal(err->kind, kind);
}

static void test_refusals(void **state)
{
	(void)state;
	uint8_t data[4000];
	cleanup_buffer struct buffer tar = {0};
	struct memory_feed feed;
	struct error err;
	cleanup_tree struct tree *tree = letters("bda", &tar, &feed);
	const struct inode *a = letter(tree, 'a')->inode;
	const struct inode *b = letter(tree, 'b')->inode;
	const struct inode *d = letter(tree, 'd')->inode;

	int r = inode_read(a, data, 10, 0, &err);
	assert_error(&err, r, ERROR_INTERNAL, "were not to be read");

	forward_expect(tree);
	assert_int_equal(inode_read(d, data, 4000, 0, &err), 0);
	assert_int_equal(inode_read(b, data, 2000, 0, &err), 0);
	r = inode_read(d, data, 4000, 0, &err);
	assert_error(&err, r, ERROR_INTERNAL, "are read twice");
	/* Half of it was kept only. */
	forward_expect(tree);
	assert_int_equal(inode_read(b, data, 1500, 0, &err), 0);
	assert_int_equal(inode_read(a, data, 1000, 0, &err), 0);
	assert_int_equal(forward_kept(tree), 4500);
	r = inode_read(b, data, 501, 1499, &err);
	assert_error(&err, r, ERROR_INTERNAL, "are read twice");
	assert_int_equal(inode_read(b, data, 500, 1500, &err), 0);
	assert_int_equal(data[0], 'b');

	/* Not the same bytes again: cut short, or with an error of the feed's. */
	forward_expect(tree);
	feed.len = TAR_BLOCK + 1500;
	r = inode_read(b, data, 2000, 0, &err);
	assert_error(&err, r, ERROR_INPUT, "layer: ends at byte 2012, 500 early");
	forward_expect(tree);
	r = inode_read(a, data, 1000, 0, &err);
	assert_error(&err, r, ERROR_INPUT, "layer: ends at byte 2012, 1000 early");
	feed.len = tar.len;
	feed.fails_at = tar.len;
	forward_expect(tree);
	assert_int_equal(inode_read(a, data, 1000, 0, &err), 0);
	r = forward_finish(tree, &err);
	assert_error(&err, r, ERROR_LIMIT, "the feed has failed");
}

/* The feed's errors are given as they are, wherever they come. */
static void test_feed_errors(void **state)
{
	(void)state;
	cleanup_buffer struct buffer tar = {0};
	struct memory_feed feed;
	tree_free(letters("ab", &tar, &feed));
	for (size_t at = 0; at <= tar.len; at += 700) {
		cleanup_tree struct tree *tree = tree_new();
		struct error err;
		feed = feed_of(tar.data, tar.len, 700);
		feed.fails_at = at;
		struct source *source = source_forward(&feed.base, "x");
		int r = layer_apply_feed(tree, &feed.base, source, "layer", &err);
		assert_error(&err, r, ERROR_LIMIT, "layer: the feed has failed");
	}
	for (size_t len = 700; len < tar.len - 2 * TAR_BLOCK; len += 700) {
		cleanup_tree struct tree *tree = tree_new();
		struct error err;
		feed = feed_of(tar.data, len, 64);
		struct source *source = source_forward(&feed.base, "x");
		int r = layer_apply_feed(tree, &feed.base, source, "layer", &err);
		assert_error(&err, r, ERROR_INPUT, "layer: ");
	}
}

int main(void)
{
	uint64_t seed = random_seed();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_stacks, &seed),
		cmocka_unit_test_prestate(test_sorted, &seed),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_feed_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
