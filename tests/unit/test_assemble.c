/* Trees become ext4 disks that e2fsck finds nothing in and libext2fs reads back as the same. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "assembling.h"
#include "disk/disk.h"
#include "ext4_reader.h"
#include "random_tree.h"
#include "support/buffer.h"
#include "support/digest.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "tree_text.h"

static const struct disk_options small_room = {.room = MIB};

/* A file that can only be read by its descriptor, at a base. */
static void set_file(struct tree *tree, struct inode *inode, uint64_t len)
{
	int fd = memfd_create("source", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(len + 100)), 0);
	assert_int_equal(pwrite(fd, "first", 5, 100), 5);
	assert_int_equal(pwrite(fd, "last!", 5, (off_t)(len + 95)), 5);
	struct source *source = tree_own_source(tree, source_from_fd(fd, 100, "source"));
	inode_set_data(tree, inode, source, 0, len);
}

static void test_empty_tree(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	check_round_trip(tree);
	assert_int_equal(tree_root(tree)->inode->ino, 2);
}

static void test_sizes(void **state)
{
	static const size_t lengths[] = {
		0, 1, 511, 4095, 4096, 4097, 65535, 65536, 65537, 262143, 262144, 262145, 1048577};
	static const size_t targets[] = {1, 59, 60, 61, 4094, 4095};
	char name[64];
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct dentry *root = tree_root(tree);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		snprintf(name, sizeof(name), "bytes-%zu", lengths[i]);
		set_bytes(tree, add(tree, root, name, S_IFREG | 0644), lengths[i]);
		snprintf(name, sizeof(name), "file-%zu", lengths[i]);
		if (lengths[i] >= 5)
			set_file(tree, add(tree, root, name, S_IFREG | 0644), lengths[i]);
	}
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		snprintf(name, sizeof(name), "link-%zu", targets[i]);
		set_target(tree, add(tree, root, name, S_IFLNK | 0777), targets[i]);
	}
	check_round_trip(tree);
}

static void test_metadata(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct dentry *root = tree_root(tree);
	root->inode->mode = S_IFDIR | 01750;
	root->inode->uid = 12;
	root->inode->gid = 4000000000u;
	root->inode->mtime_sec = 1700000000;
	root->inode->mtime_nsec = 999999999;
	add(tree, root, "setuid", S_IFREG | 06755)->uid = 65535;
	add(tree, root, "sticky", S_IFDIR | 01777)->uid = 65536;
	add(tree, root, "fifo", S_IFIFO | 0600)->gid = UINT32_MAX - 1;
	add(tree, root, "socket", S_IFSOCK | 0600);
	static const struct {
		uint32_t mode, major, minor;
	} devices[] = {{S_IFCHR, 0, 0}, {S_IFCHR, 1, 3}, {S_IFBLK, 255, 255}, {S_IFBLK, 256, 0},
		{S_IFCHR, 0, 256}, {S_IFBLK, 4095, 1048575}, {S_IFCHR, 300, 70000}};
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		char name[16];
		snprintf(name, sizeof(name), "device-%zu", i);
		struct inode *inode = add(tree, root, name, devices[i].mode | 0640);
		inode->device.major = devices[i].major;
		inode->device.minor = devices[i].minor;
	}
	struct dentry *dir = tree_find(tree, root, "sticky", 6);
	struct inode *shared = add(tree, dir, "z", S_IFREG | 0644);
	set_bytes(tree, shared, 5000);
	tree_link(tree, root, "same", 4, shared);
	tree_link(tree, dir, "a\nb \xff\xc3\xbc", 7, shared);
	char longest[TREE_NAME_MAX + 1] = {0};
	for (int c = 1; c < 256; c++)
		longest[c - 1] = (char)(c == '/' ? 0x80 : c);
	add(tree, dir, longest, S_IFREG | 0);
	check_round_trip(tree);
}

static void test_mtimes(void **state)
{
	static const struct {
		int64_t given, kept;
	} times[] = {{0, 0}, {-1, -1}, {INT32_MIN, INT32_MIN}, {INT32_MAX, INT32_MAX},
		{(int64_t)INT32_MAX + 1, (int64_t)INT32_MAX + 1}, {4294967295, 4294967295},
		{4294967296, 4294967296}, {15032385535, 15032385535}, {15032385536, 15032385535},
		{(int64_t)INT32_MIN - 1, INT32_MIN}, {INT64_MAX, 15032385535},
		{INT64_MIN, INT32_MIN}};
	char name[32];
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		struct inode *inode = add(tree, tree_root(tree), name, S_IFREG | 0644);
		inode->mtime_sec = times[i].given;
		inode->mtime_nsec = 123456789;
	}
	check_round_trip(tree);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		const struct inode *inode = tree_walk(tree, name)->inode;
		assert_int_equal(inode->mtime_sec, times[i].kept);
		assert_int_equal(
			inode->mtime_nsec, times[i].given == times[i].kept ? 123456789 : 0);
	}
}

static void test_random(void **state)
{
	uint64_t seed = random_seed();
	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct random random = {.state = seed + i};
		cleanup_tree struct tree *tree = tree_new();
		random_changes(&random, tree, random_below(&random, 200));
		tree_freeze(tree);
		check_round_trip(tree);
		random_changes(&random, tree, random_below(&random, 50));
		check_round_trip(tree);
		struct dentry *root = tree_root(tree);
		for (struct dentry *d = root; d != NULL; d = tree_next(root, d))
			if (d->base != NULL && d->base->nlink == 0)
				assert_int_equal(d->base->ino, 0);
	}
}

/* Makes the same tree, its names given in one order or the other. */
static struct tree *make_ordered(bool backwards)
{
	struct tree *tree = tree_new();
	struct dentry *dir = tree_root(tree);
	for (int i = 0; i < 500; i++) {
		char name[32];
		snprintf(name, sizeof(name), "name-%d", backwards ? 499 - i : i);
		set_bytes(tree, add(tree, dir, name, S_IFREG | 0644), 300);
	}
	return tree;
}

static void test_same_bytes(void **state)
{
	(void)state;
	cleanup_tree struct tree *one = make_ordered(false);
	cleanup_tree struct tree *two = make_ordered(true);
	cleanup_close int a = assemble(one, MIB);
	cleanup_close int b = assemble(two, MIB);
	/* libext2fs takes the time from here, if it is let. */
	setenv("E2FSPROGS_FAKE_TIME", "1700000000", 1);
	cleanup_close int c = assemble(one, MIB);
	unsetenv("E2FSPROGS_FAKE_TIME");
	struct buffer bytes[3] = {{0}};
	struct error err;
	lseek(a, 0, SEEK_SET);
	lseek(b, 0, SEEK_SET);
	lseek(c, 0, SEEK_SET);
	assert_int_equal(file_read_all(a, 64 * MIB, &bytes[0], "a", &err), 0);
	assert_int_equal(file_read_all(b, 64 * MIB, &bytes[1], "b", &err), 0);
	assert_int_equal(file_read_all(c, 64 * MIB, &bytes[2], "c", &err), 0);
	for (int i = 1; i < 3; i++) {
		assert_int_equal(bytes[i].len, bytes[0].len);
		assert_memory_equal(bytes[i].data, bytes[0].data, bytes[0].len);
	}
	for (int i = 0; i < 3; i++)
		buffer_free(&bytes[i]);
}

static void test_room(void **state)
{
	static const uint64_t rooms[] = {MIB, 5 * MIB + 1, 127 * MIB, 128 * MIB, 129 * MIB,
		1024 * MIB, 3000 * MIB, 61000 * MIB, 64000 * MIB};
	(void)state;
	cleanup_tree struct tree *tree = make_ordered(false);
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		const struct disk_options options = {.room = rooms[i]};
		struct error err;
		uint64_t size;
		cleanup_close int fd = file_temporary(&err);
		assert_int_equal(disk_assemble(tree, fd, &options, &size, &err), 0);
		if (rooms[i] <= 3000 * MIB)
			ext4_check(fd);
		ext2_filsys fs = ext4_open(fd);
		/* The kernel keeps 2 % or 4,096 blocks back. */
		uint64_t blocks = fs->super->s_blocks_count;
		uint64_t kept = blocks / 50 < 4096 ? blocks / 50 : 4096;
		uint64_t needed = (rooms[i] + 4095) / 4096 + kept;
		/* All groups have the same size, a multiple of 8 blocks. */
		uint64_t more = 4 + 8 * (uint64_t)fs->group_desc_count;
		assert_in_range(fs->super->s_free_blocks_count, needed, needed + more);
		/* An overlay has at most 64 GiB, which the last room and its inodes leave. */
		uint64_t wanted = rooms[i] / (rooms[i] <= 61000 * MIB ? 4096 : 16384);
		uint64_t inodes = wanted > 1000 ? wanted : 1000;
		assert_in_range(
			fs->super->s_free_inodes_count, inodes, inodes + 16 * blocks / 32768 + 16);
		assert_int_equal(size, blocks * 4096);
		ext2fs_close_free(&fs);
	}
}

/* Inodes are what fills this disk: groups become smaller, so that their bitmaps suffice. */
static void test_many_inodes(void **state)
{
	char name[32];
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct dentry *dir = NULL;
	for (int i = 0; i < 100000; i++) {
		if (i % 1000 == 0) {
			snprintf(name, sizeof(name), "dir-%d", i);
			dir = tree_link(tree, tree_root(tree), name, strlen(name),
				tree_inode_new(tree, S_IFDIR | 0755));
		}
		snprintf(name, sizeof(name), "%d", i);
		add(tree, dir, name, S_IFIFO | 0644);
	}
	check_round_trip(tree);
}

static void test_disk_too_large(void **state)
{
	/* The first is no disk for an overlay, the others none for ext4. */
	static const uint64_t rooms[] = {
		UINT64_C(64) << 30, UINT64_C(17) << 40, UINT64_C(16) << 40, UINT64_MAX};
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		const struct disk_options options = {.room = rooms[i]};
		struct error err;
		uint64_t size;
		cleanup_close int fd = file_temporary(&err);
		assert_int_equal(disk_assemble(tree, fd, &options, &size, &err), -EFBIG);
		assert_int_equal(err.kind, ERROR_LIMIT);
	}
}

static struct digest digest_from(int fd, uint64_t size)
{
	cleanup_buffer struct buffer bytes = {0};
	struct error err;
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(file_read_all(fd, 64 * MIB, &bytes, "disk", &err), 0);
	assert_true(bytes.len >= size);
	for (size_t i = size; i < bytes.len; i++)
		assert_int_equal(bytes.data[i], 0);
	return digest_of(bytes.data, size);
}

/* A file that has its length before the disk is made keeps it, and begins with the same bytes. */
static void test_file_size(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = make_ordered(false);
	cleanup_close int expected_fd = assemble(tree, MIB);
	uint64_t expected_size = (uint64_t)lseek(expected_fd, 0, SEEK_END);
	struct digest expected = digest_from(expected_fd, expected_size);
	const struct {
		uint64_t file_size;
		int result;
	} cases[] = {{expected_size, 0}, {expected_size + 5 * MIB, 0}, {expected_size - 1, -EFBIG}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error err;
		uint64_t size;
		cleanup_close int fd = file_temporary(&err);
		const struct disk_options options = {.room = MIB, .file_size = cases[i].file_size};
		assert_int_equal(ftruncate(fd, (off_t)cases[i].file_size), 0);
		assert_int_equal(disk_assemble(tree, fd, &options, &size, &err), cases[i].result);
		assert_int_equal(lseek(fd, 0, SEEK_END), cases[i].file_size);
		if (cases[i].result < 0) {
			assert_int_equal(err.kind, ERROR_LIMIT);
			continue;
		}
		assert_int_equal(size, expected_size);
		struct digest found = digest_from(fd, expected_size);
		assert_true(digest_equal(&found, &expected));
	}
}

/* Files are read from the disk afterwards, by its descriptor; what they hold is the same. */
static void test_home(void **state)
{
	struct random random = {.state = random_seed()};
	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		cleanup_tree struct tree *tree = tree_new();
		random_changes(&random, tree, 60);
		cleanup_free char *before = tree_text(tree);
		struct error err;
		uint64_t size;
		cleanup_close int fd = file_temporary(&err);
		cleanup_close int again = file_temporary(&err);
		struct source *home = tree_own_source(tree, source_from_fd(dup(fd), 0, "the disk"));
		const struct disk_options options = {.room = MIB, .home = home};
		assert_int_equal(disk_assemble(tree, fd, &options, &size, &err), 0);
		cleanup_free char *after = tree_text(tree);
		assert_string_equal(after, before);
		struct dentry *root = tree_root(tree);
		for (struct dentry *d = root; d != NULL; d = tree_next(root, d))
			assert_true(d->inode == NULL || d->inode->segment_count == 0 ||
				    d->inode->source == home);
		/* From the disk it becomes the same disk. */
		assert_int_equal(disk_assemble(tree, again, &small_room, &size, &err), 0);
		struct digest one = digest_from(fd, size), two = digest_from(again, size);
		assert_true(digest_equal(&one, &two));
	}
}

/* Assembles what must fail; the message must have both words in it. */
static void check_refused(
	struct tree *tree, enum error_kind kind, const char *where, const char *what)
{
	struct error err = {0};
	uint64_t size;
	cleanup_close int fd = file_temporary(&err);
	assert_true(disk_assemble(tree, fd, &small_room, &size, &err) < 0);
	if (strstr(err.message, where) == NULL || strstr(err.message, what) == NULL)
		fail_msg("expected \"%s\" and \"%s\" in: %s", where, what, err.message);
	assert_int_equal(err.kind, kind);
}

static void test_limits(void **state)
{
	static const struct {
		uint32_t mode;
		uint32_t major, minor;
		uint64_t size;
		const char *what;
	} cases[] = {
		{.mode = S_IFLNK, .size = 4096, .what = "target of 4096 bytes"},
		{.mode = S_IFLNK, .size = 0, .what = "target of 0 bytes"},
		{.mode = S_IFCHR, .major = 4096, .what = "device 4096:0"},
		{.mode = S_IFBLK, .minor = 1048576, .what = "device 0:1048576"},
		{.mode = S_IFREG, .size = UINT64_C(1) << 44, .what = "17592186044416 bytes"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_tree struct tree *tree = tree_new();
		struct dentry *dir = tree_link(
			tree, tree_root(tree), "dir", 3, tree_inode_new(tree, S_IFDIR | 0755));
		struct inode *inode = add(tree, dir, "bad one", cases[i].mode | 0644);
		if (cases[i].mode == S_IFLNK)
			set_target(tree, inode, (size_t)cases[i].size);
		inode->size = cases[i].size;
		if (cases[i].mode == S_IFCHR || cases[i].mode == S_IFBLK) {
			inode->device.major = cases[i].major;
			inode->device.minor = cases[i].minor;
		}
		check_refused(tree, ERROR_LIMIT, "/dir/bad one: ", cases[i].what);
	}
}

static void test_too_many_links(void **state)
{
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	struct inode *inode = add(tree, tree_root(tree), "0", S_IFREG | 0644);
	for (int i = 1; i < 65001; i++) {
		char name[16];
		int len = snprintf(name, sizeof(name), "%d", i);
		tree_link(tree, tree_root(tree), name, (size_t)len, inode);
	}
	check_refused(tree, ERROR_LIMIT, "/0: ", "65001 names");
	tree_unlink(tree, tree_walk(tree, "777"));
	check_round_trip(tree);
}

static void test_source_too_short(void **state)
{
	static const uint64_t sizes[] = {100, 1000000};
	(void)state;
	for (int i = 0; i < 2; i++) {
		cleanup_tree struct tree *tree = tree_new();
		struct inode *inode = add(tree, tree_root(tree), "cut off", S_IFREG | 0644);
		set_file(tree, inode, 50);
		inode_set_data(tree, inode, inode->source, 0, sizes[i]);
		check_refused(tree, ERROR_INPUT, "/cut off: ", "ends at byte 150");
	}
}

static void test_bad_segments(void **state)
{
	static const struct segment cases[][2] = {
		{{0, 10, 0}, {5, 10, 0}},
		{{10, 10, 0}, {0, 5, 0}},
		{{0, 101, 0}, {101, 0, 0}},
		{{0, 1, 0}, {UINT64_MAX, 2, 0}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_tree struct tree *tree = tree_new();
		struct inode *inode = add(tree, tree_root(tree), "f", S_IFREG | 0644);
		set_bytes(tree, inode, 100);
		inode->segments = cases[i];
		inode->segment_count = 2;
		check_refused(tree, ERROR_INTERNAL, "/f: segment", "of 100 bytes");
	}
}

/* The host's disk is full: at once, when the size is set, or later, when blocks are written. */
static void test_no_space(void **state)
{
	struct error err = {0};
	struct rlimit old, tight;
	uint64_t size;
	(void)state;
	cleanup_tree struct tree *tree = make_ordered(false);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = 100000;
	cleanup_close int fd = file_temporary(&err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	int r = disk_assemble(tree, fd, &small_room, &size, &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(err.kind, ERROR_OUTPUT);

	/* Sealed, the file can grow but cannot be written. */
	cleanup_close int sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
	memset(&err, 0, sizeof(err));
	assert_int_equal(disk_assemble(tree, sealed, &small_room, &size, &err), -EPERM);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_non_null(strstr(err.message, "the guest's disk: cannot write"));
}

/* In a process of its own, as the signal is not forgotten. */
static void test_interrupted(void **state)
{
	int status;
	(void)state;
	cleanup_tree struct tree *tree = make_ordered(false);
	pid_t pid = fork();
	if (pid == 0) {
		struct error err;
		uint64_t size;
		int fd = file_temporary(&err);
		if (interrupt_setup(&err) < 0 || raise(SIGTERM) != 0)
			_exit(1);
		int r = disk_assemble(tree, fd, &small_room, &size, &err);
		_exit(r == -EINTR && err.kind == ERROR_INTERRUPTED ? 42 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 42 << 8);
}

/* What a guest may leave of the superblock of a cache's disk. */
static void test_unsound_disks(void **state)
{
	static const struct {
		uint32_t offset, len, value;
	} cases[] = {
		{0x38, 2, 0},          /* magic */
		{0x18, 4, 6},          /* blocks of 64 KiB */
		{0x04, 4, 0},          /* no blocks */
		{0x04, 4, 0xffffffff}, /* more than the limit */
		{0x150, 4, 0x10000},   /* 2^48 blocks */
		{0x60, 4, 0x6c2},      /* 64bit */
		{0x60, 4, 0xffffffff}, /* features that nobody knows */
		{0x64, 4, 0x26b},      /* bigalloc */
		{0x3a, 2, 0},          /* not unmounted */
		{0x3a, 2, 3},          /* with errors */
		{0xe8, 4, 12},         /* an orphan */
		{0x194, 4, 1},         /* an error that was counted */
	};
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	cleanup_close int fd = assemble(tree, MIB);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t sound;
		uint32_t value = htole32(cases[i].value);
		off_t at = 1024 + (off_t)cases[i].offset;
		assert_true(disk_is_sound(fd, 64 * MIB));
		assert_int_equal(pread(fd, &sound, cases[i].len, at), cases[i].len);
		assert_int_equal(pwrite(fd, &value, cases[i].len, at), cases[i].len);
		if (disk_is_sound(fd, 64 * MIB))
			fail_msg("case %zu is taken", i);
		assert_int_equal(pwrite(fd, &sound, cases[i].len, at), cases[i].len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_tree),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_mtimes),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_many_inodes),
		cmocka_unit_test(test_disk_too_large),
		cmocka_unit_test(test_file_size),
		cmocka_unit_test(test_home),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_too_many_links),
		cmocka_unit_test(test_source_too_short),
		cmocka_unit_test(test_bad_segments),
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_unsound_disks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
