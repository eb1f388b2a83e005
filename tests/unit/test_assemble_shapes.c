/* The shapes that large things take on an ext4 disk: hash trees and extent trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "assembling.h"
#include "disk/disk.h"
#include "ext4_reader.h"
#include "random_tree.h"
#include "support/memory.h"

static struct dentry *add_dir(struct tree *tree, const char *name)
{
	return tree_link(
		tree, tree_root(tree), name, strlen(name), tree_inode_new(tree, S_IFDIR | 0755));
}

static void add_files(struct tree *tree, struct dentry *dir, const char *format, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char name[TREE_NAME_MAX + 1];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		int len = snprintf(name, sizeof(name), format, i);
#pragma GCC diagnostic pop
		tree_link(tree, dir, name, (size_t)len, tree_inode_new(tree, S_IFREG | 0644));
	}
}

static void check_dir_size(struct tree *tree, uint32_t blocks)
{
	check_round_trip(tree);
	cleanup_close int fd = assemble(tree, MIB);
	ext2_filsys fs = ext4_open(fd);
	struct ext2_inode_large raw = ext4_inode(fs, "/dir");
	assert_int_equal(raw.i_size, blocks * 4096);
	assert_int_equal(raw.i_flags, EXT4_EXTENTS_FL | (blocks == 1 ? 0 : EXT2_INDEX_FL));
	ext2fs_close_free(&fs);
}

static void test_directory_sizes(void **state)
{
	(void)state;
	for (unsigned count = 250; count < 260; count++) {
		cleanup_tree struct tree *tree = tree_new();
		/* 16 bytes each: 254 fit beside "." and "..", and 256 in a leaf. */
		add_files(tree, add_dir(tree, "dir"), "%05u", count);
		check_dir_size(tree, count <= 254 ? 1 : count <= 256 ? 2 : 3);
	}
	/* Full to the last byte: 24 for "." and "..", 253 * 16, and 24. */
	cleanup_tree struct tree *tree = tree_new();
	struct dentry *dir = add_dir(tree, "dir");
	add_files(tree, dir, "%05u", 253);
	add(tree, dir, "sixteen letters.", S_IFREG | 0644);
	check_dir_size(tree, 1);
}

static void test_two_level_directory(void **state)
{
	/* 15 names a leaf; the index of one level takes 508 leaves. */
	static const unsigned counts[] = {508 * 15, 508 * 15 + 1, 511 * 15 + 1, 1100 * 15};
	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		cleanup_tree struct tree *tree = tree_new();
		add_files(tree, add_dir(tree, "dir"), "%0255u", counts[i]);
		check_round_trip(tree);
	}
}

static void test_100000_entries(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	add_files(tree, add_dir(tree, "dir"), "some-file-%u\xe4", 100000);
	check_round_trip(tree);
}

struct hashed {
	uint32_t hash;
	unsigned number;
};

static int compare_hashed(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;
	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

/* The second leaf of /dir begins with a hash that the first one ends with. */
static void check_continued(struct tree *tree, uint32_t hash)
{
	struct ext2_dx_entry index[512];
	cleanup_close int fd = assemble(tree, MIB);
	ext2_filsys fs = ext4_open(fd);
	ext4_read(fs, "/dir", index, sizeof(index), 0);
	/* Entries begin at byte 32. */
	assert_int_equal(index[5].hash, hash | 1);
	ext2fs_close_free(&fs);
}

/* Names of one hash on both sides of a leaf's end: the index says that the hash goes on. */
static void test_hash_collision(void **state)
{
	enum { COUNT = 200000, PER_LEAF = 15 };
	cleanup_free struct hashed *names = xcalloc(COUNT, sizeof(*names));
	uint32_t seed[4];
	char name[TREE_NAME_MAX + 1];
	(void)state;
	{
		cleanup_tree struct tree *empty = tree_new();
		cleanup_close int fd = assemble(empty, MIB);
		ext2_filsys fs = ext4_open(fd);
		memcpy(seed, fs->super->s_hash_seed, sizeof(seed));
		ext2fs_close_free(&fs);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		uint32_t minor;
		int len = snprintf(name, sizeof(name), "%0255u", i);
		names[i].number = i;
		assert_int_equal(ext2fs_dirhash2(EXT2_HASH_HALF_MD4_UNSIGNED, name, len, NULL, 0,
					 seed, &names[i].hash, &minor),
			0);
	}
	qsort(names, COUNT, sizeof(*names), compare_hashed);
	unsigned found = 0;
	for (unsigned i = PER_LEAF - 1; i + 2 * PER_LEAF < COUNT; i++) {
		if (names[i].hash != names[i + 1].hash || names[i - 1].hash == names[i].hash)
			continue;
		cleanup_tree struct tree *tree = tree_new();
		struct dentry *dir = add_dir(tree, "dir");
		for (unsigned k = i - (PER_LEAF - 1); k < i + 2 * PER_LEAF; k++) {
			snprintf(name, sizeof(name), "%0255u", names[k].number);
			add(tree, dir, name, S_IFREG | 0644);
		}
		check_round_trip(tree);
		check_continued(tree, names[i].hash);
		found++;
	}
	assert_int_not_equal(found, 0);
}

/* More than 65,000 links are told by a link count of 1. */
static void test_many_subdirectories(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct dentry *dirs[2] = {add_dir(tree, "most"), add_dir(tree, "more")};
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned i = 0; i < 64998 + k; i++) {
			char name[16];
			snprintf(name, sizeof(name), "%u", i);
			add(tree, dirs[k], name, S_IFDIR | 0755);
		}
	}
	cleanup_close int fd = assemble(tree, MIB);
	ext2_filsys fs = ext4_open(fd);
	assert_int_equal(ext4_inode(fs, "/most").i_links_count, 65000);
	assert_int_equal(ext4_inode(fs, "/more").i_links_count, 1);
	assert_int_equal(ext4_inode(fs, "/more/64998").i_links_count, 2);
	ext2fs_close_free(&fs);
}

/* Gives a file segments of len bytes, step bytes apart. */
static void set_stripes(struct tree *tree, struct inode *inode, uint32_t count, uint64_t first,
	uint64_t len, uint64_t step)
{
	struct segment *segments = tree_alloc(tree, count * sizeof(*segments));
	set_bytes(tree, inode, (size_t)(len * count));
	for (uint32_t i = 0; i < count; i++)
		segments[i] = (struct segment){
			.logical = first + i * step, .length = len, .offset = i * len};
	inode->segments = segments;
	inode->segment_count = count;
	inode->size = first + count * step;
}

static void test_holes(void **state)
{
	static const struct {
		uint32_t count;
		uint64_t first, len, step;
		uint32_t blocks; /* that the file must take */
	} cases[] = {
		{1, 0, 1, 1, 1}, {1, 4095, 2, 2, 2}, {1, 8191, 1, 100000, 1},
		{4, 0, 4096, 8192, 4},          /* all extents in the inode */
		{5, 0, 4096, 8192, 5 + 1},      /* one block of them */
		{340, 1, 4096, 12288, 680 + 1}, /* filled to the last */
		{341, 0, 1, 8192, 341 + 2},
		{679, 0, 1, 8192, 679 + 2}, /* a full block gives one to the next */
		{680, 0, 1, 8192, 680 + 3},
		{1357, 0, 1, 8192, 1357 + 4}, /* as many as one level takes */
		{1358, 0, 1, 8192, 1358 + 5 + 1}, {100, 0, 10, 100, 3}, /* many in a block */
		{100, 4000, 100, 4200, 103},              /* gaps shorter than a block */
		{50, 100, 4096, 4096, 51},                /* side by side, off the grid */
		{0, 0, 1, 1, 0}, {3, 12345, 0, 50000, 0}, /* empty ones */
	};
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	char name[16];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		struct inode *inode = add(tree, tree_root(tree), name, S_IFREG | 0644);
		set_stripes(
			tree, inode, cases[i].count, cases[i].first, cases[i].len, cases[i].step);
	}
	check_round_trip(tree);
	cleanup_close int fd = assemble(tree, MIB);
	ext2_filsys fs = ext4_open(fd);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(name, sizeof(name), "/%zu", i);
		assert_int_equal(ext4_inode(fs, name).i_blocks, cases[i].blocks * 8);
	}
	ext2fs_close_free(&fs);
}

/* The bytes around an offset must be the same in tree and disk. */
static void check_window(const struct inode *inode, ext2_filsys fs, const char *path, uint64_t at)
{
	uint8_t expected[10000], found[10000];
	struct error err;
	uint64_t start = at < 5000 ? 0 : at - 5000;
	size_t len =
		inode->size - start < sizeof(found) ? (size_t)(inode->size - start) : sizeof(found);
	assert_int_equal(inode_read(inode, expected, len, start, &err), 0);
	ext4_read(fs, path, found, len, start);
	assert_memory_equal(found, expected, len);
}

/* A sparse file of 5 GiB, and one whose blocks are more than an extent takes. */
static void test_large_files(void **state)
{
	const uint64_t gib = UINT64_C(1) << 30;
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct inode *sparse = add(tree, tree_root(tree), "sparse", S_IFREG | 0644);
	set_bytes(tree, sparse, 500000);
	struct segment segments[] = {{0, 100000, 0}, {4 * gib - 50000, 100000, 100000},
		{5 * gib - 77777, 77777, 200000}};
	sparse->segments = segments;
	sparse->segment_count = 3;
	sparse->size = 5 * gib;

	struct inode *dense = add(tree, tree_root(tree), "dense", S_IFREG | 0644);
	uint64_t size = 32769 * 4096 + 17;
	int source = memfd_create("source", MFD_CLOEXEC);
	assert_int_equal(ftruncate(source, (off_t)size), 0);
	for (uint64_t at = 0; at < size; at += 4096)
		assert_int_equal(pwrite(source, &at, sizeof(at), (off_t)at), sizeof(at));
	inode_set_data(
		tree, dense, tree_own_source(tree, source_from_fd(source, 0, "source")), 0, size);

	cleanup_close int fd = assemble(tree, MIB);
	ext2_filsys fs = ext4_open(fd);
	for (size_t i = 0; i < 3; i++) {
		check_window(sparse, fs, "/sparse", segments[i].logical);
		check_window(sparse, fs, "/sparse", segments[i].logical + segments[i].length);
	}
	check_window(sparse, fs, "/sparse", 2 * gib);
	assert_int_equal(ext4_inode(fs, "/sparse").i_blocks, (25 + 26 + 19) * 8);
	static const uint64_t offsets[] = {
		0, 64 * MIB, 128 * MIB - 4096, 128 * MIB, 128 * MIB + 4096};
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		check_window(dense, fs, "/dense", offsets[i]);
	struct ext2_inode_large raw = ext4_inode(fs, "/dense");
	assert_int_equal(raw.i_blocks, 32770 * 8);
	assert_int_equal(raw.i_block[0] >> 16, 2); /* eh_entries */
	ext2fs_close_free(&fs);
}

/* What libext2fs lays out must be what was planned, for any size: e2fsck finds nothing. */
static void test_random_sizes(void **state)
{
	(void)state;
	struct random random = {.state = random_seed()};
	const char *rounds = getenv("LAYERVM_TEST_ROUNDS");
	char name[16];
	for (int i = rounds != NULL ? atoi(rounds) : 12; i > 0; i--) {
		uint64_t room = MIB + random_below(&random, 1u << (20 + random_below(&random, 8)));
		uint32_t files = random_below(&random, 1u << random_below(&random, 14));
		cleanup_tree struct tree *tree = tree_new();
		for (uint32_t f = 0; f < files; f++) {
			snprintf(name, sizeof(name), "%u", f);
			add(tree, tree_root(tree), name, S_IFREG | 0644);
		}
		cleanup_close int fd = assemble(tree, room);
		ext2_filsys fs = ext4_open(fd);
		assert_true((uint64_t)fs->super->s_free_blocks_count * 4096 >= room);
		assert_true(fs->super->s_free_inodes_count >= 1000);
		ext2fs_close_free(&fs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directory_sizes),
		cmocka_unit_test(test_two_level_directory),
		cmocka_unit_test(test_100000_entries),
		cmocka_unit_test(test_hash_collision),
		cmocka_unit_test(test_many_subdirectories),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_large_files),
		cmocka_unit_test(test_random_sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
