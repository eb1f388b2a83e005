/* What a guest can put into the room that a disk leaves it. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "assembling.h"
#include "disk/disk.h"
#include "ext4_reader.h"
#include "random_tree.h"
#include "support/fileio.h"
#include "support/memory.h"

/* By hand: LAYERVM_TEST_ROUNDS=200. */
#define ROUNDS 4
#define FILES_PER_DIR 300
#define FILE_MAX 8192

static unsigned rounds(void)
{
	const char *given = getenv("LAYERVM_TEST_ROUNDS");
	return given != NULL ? (unsigned)strtoul(given, NULL, 10) : ROUNDS;
}

static struct tree *random_tree(struct random *random)
{
	struct tree *tree = tree_new();
	random_changes(random, tree, random_below(random, 400));
	/* Files without a block, which take inodes alone: groups may become smaller for them. */
	unsigned count = random_below(random, 3) == 0 ? random_below(random, 20000) : 0;
	for (unsigned i = 0; i < count; i++) {
		char name[32];
		snprintf(name, sizeof(name), "empty-%u", i);
		add(tree, tree_root(tree), name, S_IFREG | 0644);
	}
	return tree;
}

/* -- filling a disk --------------------------------------------------------------------------- */

/* A disk that libext2fs writes to, as a guest would. */
struct filling {
	ext2_filsys fs;
	ext2_ino_t dir;
	unsigned files;
	uint64_t free_before; /* blocks */
};

static void must(const struct filling *f, errcode_t code, const char *what)
{
	if (code != 0)
		fail_msg("%s after %u files and %" PRIu64 " blocks: %s", what, f->files,
			f->free_before - (uint64_t)ext2fs_free_blocks_count(f->fs->super),
			error_message(code));
}

static void add_name(struct filling *f, ext2_ino_t dir, const char *name, ext2_ino_t ino, int type)
{
	errcode_t code = ext2fs_link(f->fs, dir, name, ino, type);
	if (code == EXT2_ET_DIR_NO_SPACE) {
		must(f, ext2fs_expand_dir(f->fs, dir), "a block of a directory");
		code = ext2fs_link(f->fs, dir, name, ino, type);
	}
	must(f, code, "a name");
}

static void new_dir(struct filling *f)
{
	char name[32];
	snprintf(name, sizeof(name), "filled-%u", f->files);
	must(f, ext2fs_new_inode(f->fs, EXT2_ROOT_INO, LINUX_S_IFDIR | 0755, NULL, &f->dir),
		"a directory's inode");
	errcode_t code = ext2fs_mkdir(f->fs, EXT2_ROOT_INO, f->dir, name);
	if (code == EXT2_ET_DIR_NO_SPACE) {
		must(f, ext2fs_expand_dir(f->fs, EXT2_ROOT_INO), "a block of the root");
		code = ext2fs_mkdir(f->fs, EXT2_ROOT_INO, f->dir, name);
	}
	must(f, code, "a directory");
}

static void new_file(struct filling *f, unsigned size)
{
	static const char data[FILE_MAX] = {'x'};
	char name[32];
	ext2_ino_t ino;
	ext2_file_t file;
	unsigned written = 0;
	struct ext2_inode_large inode = {
		.i_mode = LINUX_S_IFREG | 0644,
		.i_links_count = 1,
		.i_flags = size != 0 ? EXT4_EXTENTS_FL : 0, /* libext2fs writes no empty tree */
		.i_extra_isize = sizeof(inode) - EXT2_GOOD_OLD_INODE_SIZE,
	};
	if (f->files % FILES_PER_DIR == 0)
		new_dir(f);
	must(f, ext2fs_new_inode(f->fs, f->dir, LINUX_S_IFREG | 0644, NULL, &ino), "an inode");
	snprintf(name, sizeof(name), "%u", f->files);
	add_name(f, f->dir, name, ino, EXT2_FT_REG_FILE);
	ext2fs_inode_alloc_stats2(f->fs, ino, 1, 0);
	must(f, ext2fs_write_inode_full(f->fs, ino, (struct ext2_inode *)&inode, sizeof(inode)),
		"an inode");
	must(f, ext2fs_file_open(f->fs, ino, EXT2_FILE_WRITE, &file), "a file");
	if (size != 0)
		must(f, ext2fs_file_write(file, data, size, &written), "a file's bytes");
	assert_int_equal(written, size);
	must(f, ext2fs_file_close(file), "a file");
	f->files++;
}

static ext2_filsys open_for_writing(int fd)
{
	char path[64];
	ext2_filsys fs;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(ext2fs_open(path, EXT2_FLAG_RW, 0, 0, unix_io_manager, &fs), 0);
	assert_int_equal(ext2fs_read_bitmaps(fs), 0);
	return fs;
}

/* Files of 0 to 8 KiB take 95 % of the room before anything else of the disk is used up. */
static void fill(struct random *random, int fd, uint64_t room)
{
	struct filling f = {.fs = open_for_writing(fd)};
	f.free_before = (uint64_t)ext2fs_free_blocks_count(f.fs->super);
	uint64_t end = f.free_before - room / DISK_BLOCK_SIZE * 95 / 100;
	while ((uint64_t)ext2fs_free_blocks_count(f.fs->super) > end)
		new_file(&f, random_below(random, FILE_MAX + 1));
	assert_int_equal(ext2fs_close_free(&f.fs), 0);
	ext4_check(fd);
}

static void test_small_files_fill_the_room(void **state)
{
	struct random random = {random_seed()};
	(void)state;
	for (unsigned i = 0; i < rounds(); i++) {
		uint64_t room = MIB + random_below(&random, 12 * MIB);
		cleanup_tree struct tree *tree = random_tree(&random);
		cleanup_close int fd = assemble(tree, room);
		fill(&random, fd, room);
	}
}

/* -- counting --------------------------------------------------------------------------------- */

/* Of the bitmaps, not of what superblock and descriptors say. */
static void count_free(ext2_filsys fs, uint64_t *blocks, uint64_t *inodes)
{
	*blocks = *inodes = 0;
	for (blk64_t b = 0; b < ext2fs_blocks_count(fs->super); b++)
		*blocks += !ext2fs_test_block_bitmap2(fs->block_map, b);
	for (ext2_ino_t i = 1; i <= fs->super->s_inodes_count; i++)
		*inodes += !ext2fs_test_inode_bitmap2(fs->inode_map, i);
}

/* The file's bytes: what the room's inodes take is a hole. */
static uint64_t taken(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static int make_disk(struct tree *tree, uint64_t room)
{
	struct error err;
	uint64_t size;
	const struct disk_options options = {.room = room};
	int fd = file_temporary(&err);
	if (fd < 0 || disk_assemble(tree, fd, &options, &size, &err) < 0)
		fail_msg("%s", err.message);
	return fd;
}

static void test_a_block_and_an_inode_for_each_4_kib(void **state)
{
	struct random random = {random_seed()};
	(void)state;
	for (unsigned i = 0; i < rounds(); i++) {
		uint64_t blocks, inodes;
		/* As many small ones as large ones, up to 4 GiB. */
		uint64_t room = MIB << random_below(&random, 12);
		room += random_below(&random, (uint32_t)room);
		cleanup_tree struct tree *tree = random_tree(&random);
		cleanup_close int fd = make_disk(tree, room);
		cleanup_close int least = make_disk(tree, MIB);
		ext2_filsys fs = ext4_open(fd);
		count_free(fs, &blocks, &inodes);
		assert_true(blocks >= (room + 4095) / 4096);
		assert_true(inodes >= room / 4096);
		/* Two bitmaps and a descriptor for each group. */
		assert_true(taken(fd) <= taken(least) + fs->group_desc_count * 3 * 4096);
		ext2fs_close_free(&fs);
		ext4_check(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_files_fill_the_room),
		cmocka_unit_test(test_a_block_and_an_inode_for_each_4_kib),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
