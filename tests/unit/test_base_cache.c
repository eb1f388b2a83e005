/* Base disks in the cache: found as they were made, made anew where anything is wrong. */
#include "cache_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/base_cache.h"
#include "commands/base_record.h"
#include "disk/disk.h"
#include "disk/disk_digest.h"
#include "random_tree.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree_text.h"

#define MIB (UINT64_C(1) << 20)

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%s", err->message);
}

/* The cache, and a report whose lines are kept. */
struct scene {
	struct cache *cache;
	struct report *report;
	int said;
};

static struct scene scene_open(void)
{
	struct scene scene = {.said = memfd_create("report", MFD_CLOEXEC)};
	struct error err;
	must(cache_open(&scene.cache, &err), &err);
	scene.report = report_new(REPORT_PLAIN, scene.said);
	return scene;
}

static void scene_close(struct scene *scene)
{
	cache_free(scene->cache);
	report_free(scene->report);
	close(scene->said);
}
#define cleanup_scene __attribute__((cleanup(scene_close)))

static char *said(const struct scene *scene)
{
	struct buffer bytes = {0};
	struct error err;
	lseek(scene->said, 0, SEEK_SET);
	must(file_read_all(scene->said, 1 << 20, &bytes, "report", &err), &err);
	return buffer_steal_text(&bytes);
}

static struct base_id id_of(const char *chain)
{
	return (struct base_id){.chain = digest_of(chain, strlen(chain)), .room = MIB};
}

static struct tree *make_tree(uint64_t seed)
{
	struct tree *tree = tree_new();
	struct random random = {.state = seed};
	random_changes(&random, tree, 60);
	struct inode *inode = tree_inode_new(tree, S_IFREG | 0644);
	tree_link(tree, tree_root(tree), "a file", 6, inode);
	struct source *source = tree_own_source(tree, source_from_bytes("what it holds", 13));
	inode_set_data(tree, inode, source, 0, 13);
	tree_freeze(tree);
	tree_link(tree, tree_root(tree), "proc, made", 10, tree_inode_new(tree, S_IFDIR | 0755))
		->flags |= DENTRY_SCAFFOLD;
	return tree;
}

static struct digest bytes_of(int disk)
{
	struct error err;
	struct digest digest;
	must(disk_digest(disk, &digest, &err), &err);
	return digest;
}

static struct base_making *start(const struct scene *scene, const struct base_id *id)
{
	struct error err;
	struct base_making *making = NULL;
	const struct base_slot slot = {.cache = scene->cache, .id = *id, .disk = -1};
	must(base_making_start(&slot, &making, &err), &err);
	return making;
}

/* Makes an entry of the tree. Returns the digest of the disk. */
static struct digest make(const struct scene *scene, const struct base_id *id, struct tree *tree)
{
	struct error err;
	uint64_t size;
	cleanup_base_making struct base_making *making = NULL;
	making = start(scene, id);
	must(base_making_assemble(making, tree, &size, &err), &err);
	base_making_publish(making);
	must(base_making_finish(making, &err), &err);
	return bytes_of(base_making_disk(making));
}

/* What a found entry must be. */
static void check_found(const struct scene *scene, const struct base_id *id, enum base_check check,
	struct tree *expected, const struct digest *bytes)
{
	struct error err;
	cleanup_tree struct tree *tree = NULL;
	cleanup_close int disk = -1;
	int r = base_cache_find(scene->cache, id, check, scene->report, &tree, &disk, &err);
	must(r, &err);
	assert_int_equal(r, 1);
	struct digest found_bytes = bytes_of(disk);
	assert_true(digest_equal(&found_bytes, bytes));
	assert_int_equal(fcntl(disk, F_GETFL) & O_ACCMODE, O_RDONLY);
	cleanup_free char *expected_text = tree_text(expected);
	cleanup_free char *found = tree_text(tree);
	assert_string_equal(found, expected_text);
	/* In the base state there is no scaffold. */
	tree_revert(tree);
	assert_null(tree_walk(tree, "proc, made"));
	assert_non_null(tree_walk(tree, "a file"));
}

static bool is_there(const struct scene *scene, const struct base_id *id, enum base_check check)
{
	struct error err;
	cleanup_tree struct tree *tree = NULL;
	cleanup_close int disk = -1;
	int r = base_cache_find(scene->cache, id, check, scene->report, &tree, &disk, &err);
	must(r, &err);
	assert_int_equal(r == 1, tree != NULL);
	assert_int_equal(r == 1, disk >= 0);
	return r == 1;
}

/* How many files a folder of the cache has, and the path of one. */
static unsigned count_files(const char *kind, char path[static 256])
{
	char name[128];
	unsigned count = 0;
	snprintf(name, sizeof(name), "%s/%s", folder, kind);
	DIR *stream = opendir(name);
	if (stream == NULL)
		return 0;
	for (const struct dirent *d; (d = readdir(stream)) != NULL;) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, 256, "%s/%.100s", name, d->d_name);
		count++;
	}
	closedir(stream);
	return count;
}

static void test_made_and_found(void **state)
{
	uint64_t seed = *(const uint64_t *)*state;
	cleanup_scene struct scene scene = scene_open();
	for (unsigned i = 0; i < 20; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%u", i);
		struct base_id id = id_of(name);
		cleanup_tree struct tree *tree = make_tree(seed + i);
		id.file_size = i % 2 == 0 ? 0 : UINT64_C(64) << 30;
		assert_false(is_there(&scene, &id, BASE_CHECK_IDENTITY));
		struct digest bytes = make(&scene, &id, tree);
		check_found(&scene, &id, BASE_CHECK_IDENTITY, tree, &bytes);
		check_found(&scene, &id, BASE_CHECK_BYTES, tree, &bytes);
		/* What makes another disk is another entry. */
		struct base_id others[] = {id, id, id};
		others[0].room++;
		others[1].file_size += 4096;
		others[2].chain.bytes[31] ^= 1;
		for (size_t k = 0; k < 3; k++)
			assert_false(is_there(&scene, &others[k], BASE_CHECK_IDENTITY));
	}
	cleanup_free char *words = said(&scene);
	assert_string_equal(words, "");
}

/* The disk can be read before it is written, and is never another file. */
static void test_early_reader(void **state)
{
	(void)state;
	cleanup_scene struct scene scene = scene_open();
	struct base_id id = id_of("early");
	id.file_size = 64 * MIB;
	struct error err;
	struct stat before, after;
	uint64_t size;
	char path[256];
	cleanup_tree struct tree *tree = make_tree(1);
	cleanup_base_making struct base_making *making = NULL;
	making = start(&scene, &id);
	assert_int_equal(fstat(base_making_disk(making), &before), 0);
	assert_int_equal(before.st_size, 64 * MIB);
	assert_int_equal(fcntl(base_making_disk(making), F_GETFL) & O_ACCMODE, O_RDONLY);
	must(base_making_assemble(making, tree, &size, &err), &err);
	base_making_publish(making);
	must(base_making_finish(making, &err), &err);
	assert_int_equal(count_files("disk", path), 1);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_size, before.st_size);
	/* Holes stay holes: what it takes is far from what it is long. */
	assert_in_range(after.st_blocks * 512, 1, 8 * MIB);
}

/* What is not finished leaves nothing. */
static void test_abandoned(void **state)
{
	(void)state;
	cleanup_scene struct scene scene = scene_open();
	struct base_id id = id_of("abandoned");
	struct error err;
	char path[256];
	struct base_making *making = NULL;
	making = start(&scene, &id);
	base_making_free(making);
	assert_int_equal(count_files("disk", path) + count_files("tree", path), 0);

	/* A disk that is complete, but not to be published: the same. */
	cleanup_tree struct tree *whole = make_tree(1);
	uint64_t size;
	making = start(&scene, &id);
	must(base_making_assemble(making, whole, &size, &err), &err);
	must(base_making_finish(making, &err), &err);
	base_making_free(making);
	assert_int_equal(count_files("disk", path) + count_files("tree", path), 0);

	/* A tree that does not fit: the same. */
	id.file_size = MIB;
	cleanup_tree struct tree *tree = make_tree(1);
	making = start(&scene, &id);
	assert_int_equal(base_making_assemble(making, tree, &size, &err), -EFBIG);
	base_making_free(making);
	assert_int_equal(count_files("disk", path) + count_files("tree", path), 0);
}

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Where the cache takes no more, wherever that is, the same disk is made of the tree elsewhere. */
static void test_full(void **state)
{
	(void)state;
	cleanup_scene struct scene scene = scene_open();
	struct base_id id = id_of("full");
	struct error err;
	uint64_t size;
	char path[256];
	cleanup_tree struct tree *expected = make_tree(5);
	cleanup_free char *expected_text = tree_text(expected);
	id.file_size = 64 * MIB;
	const struct digest bytes = make(&scene, &id, expected);
	assert_int_equal(remove_folder(NULL), 0);
	assert_int_equal(make_folder(NULL), 0);
	const struct disk_options options = {.room = id.room, .file_size = id.file_size};
	signal(SIGXFSZ, SIG_IGN);
	unsigned failures = 0;
	for (rlim_t limit = 0; failures == limit / 4096; limit += 4096) {
		cleanup_scene struct scene full = scene_open();
		cleanup_tree struct tree *tree = make_tree(5);
		cleanup_close int elsewhere = memfd_create("disk", MFD_CLOEXEC);
		cleanup_base_making struct base_making *making = start(&full, &id);
		assert_int_equal(ftruncate(elsewhere, (off_t)id.file_size), 0);
		limit_files(limit);
		int r = base_making_assemble(making, tree, &size, &err);
		limit_files(RLIM_INFINITY);
		if (r == 0)
			continue;
		failures++;
		assert_int_equal(r, -EFBIG);
		assert_int_equal(err.kind, ERROR_OUTPUT);
		base_making_free(steal_ptr(&making));
		assert_int_equal(count_files("disk", path) + count_files("tree", path), 0);
		must(disk_assemble(tree, elsewhere, &options, &size, &err), &err);
		struct digest found = bytes_of(elsewhere);
		assert_true(digest_equal(&found, &bytes));
		cleanup_free char *text = tree_text(tree);
		assert_string_equal(text, expected_text);
	}
	assert_in_range(failures, 3, 1000);
}

static struct base_making *start_claimed(
	const struct scene *scene, const struct base_id *id, struct cache_claim *claim)
{
	struct error err;
	struct base_making *making = NULL;
	const struct digest key = base_key(id);
	const struct base_slot slot = {
		.cache = scene->cache, .id = *id, .disk = -1, .claim = claim};
	assert_true(cache_claim_take(scene->cache, BASE_KIND_TREE, &key, claim));
	must(base_making_start(&slot, &making, &err), &err);
	assert_int_equal(claim->fd, -1);
	return making;
}

/* Whether another run could make it now. */
static bool is_free(const struct scene *scene, const struct base_id *id)
{
	cleanup_cache_claim struct cache_claim claim = CACHE_CLAIM_NONE;
	const struct digest key = base_key(id);
	return cache_claim_take(scene->cache, BASE_KIND_TREE, &key, &claim);
}

/* Has what is written to the one file without a name in the folder of trees fail. */
static void fill_tree_file(void)
{
	cleanup_free char *prefix = xasprintf("%s/%s/#", folder, BASE_KIND_TREE);
	char path[32], target[256] = "";
	int fd = 3;
	for (; fd < 256 && strncmp(target, prefix, strlen(prefix)) != 0; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		ssize_t len = readlink(path, target, sizeof(target) - 1);
		target[len < 0 ? 0 : len] = '\0';
	}
	assert_true(fd < 256);
	cleanup_close int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	assert_int_equal(dup3(full, fd - 1, O_CLOEXEC), fd - 1);
}

/* The disk is whole and in use by then: that its tree cannot be kept is told at the end. */
static void test_full_tree(void **state)
{
	(void)state;
	cleanup_scene struct scene full = scene_open();
	struct base_id id = id_of("full tree");
	struct error err;
	uint64_t size;
	char path[256];
	cleanup_tree struct tree *expected = make_tree(5), *tree = make_tree(5);
	cleanup_free char *expected_text = tree_text(expected);
	cleanup_cache_claim struct cache_claim claim = CACHE_CLAIM_NONE;
	struct base_making *making = start_claimed(&full, &id, &claim);
	fill_tree_file();
	must(base_making_assemble(making, tree, &size, &err), &err);
	assert_false(is_free(&full, &id));
	cleanup_free char *text = tree_text(tree);
	assert_string_equal(text, expected_text);
	base_making_publish(making);
	assert_true(is_free(&full, &id));
	assert_int_equal(base_making_finish(making, &err), -ENOSPC);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_int_equal(count_files("disk", path) + count_files("tree", path), 0);
	tree_free(steal_ptr(&tree));
	base_making_free(making);
}

/* The cache is too small for the disk: it is good for this run, and nobody waits for it. */
static void test_too_large(void **state)
{
	(void)state;
	setenv("LAYERVM_CACHE_MAX_SIZE", "0", 1);
	cleanup_scene struct scene scene = scene_open();
	struct base_id id = id_of("large");
	struct error err;
	uint64_t size;
	char path[256];
	cleanup_tree struct tree *tree = make_tree(5);
	cleanup_cache_claim struct cache_claim claim = CACHE_CLAIM_NONE;
	struct base_making *making = start_claimed(&scene, &id, &claim);
	must(base_making_assemble(making, tree, &size, &err), &err);
	base_making_publish(making);
	assert_int_equal(base_making_finish(making, &err), -EDQUOT);
	assert_non_null(strstr(err.message, "LAYERVM_CACHE_MAX_SIZE"));
	assert_true(is_free(&scene, &id));
	assert_int_equal(
		count_files("disk", path) + count_files("tree", path) + count_files("boot", path),
		0);
	tree_free(steal_ptr(&tree));
	base_making_free(making);
}

/* Two makers of one base end with one entry, which is whole. */
static void test_two_makers(void **state)
{
	(void)state;
	cleanup_scene struct scene scene = scene_open();
	struct base_id id = id_of("two");
	struct error err;
	uint64_t size;
	char path[256];
	cleanup_tree struct tree *one = make_tree(7), *two = make_tree(7);
	cleanup_tree struct tree *expected = make_tree(7);
	cleanup_base_making struct base_making *a = NULL, *b = NULL;
	a = start(&scene, &id);
	b = start(&scene, &id);
	must(base_making_assemble(a, one, &size, &err), &err);
	must(base_making_assemble(b, two, &size, &err), &err);
	base_making_publish(a);
	base_making_publish(b);
	must(base_making_finish(a, &err), &err);
	must(base_making_finish(b, &err), &err);
	assert_int_equal(count_files("disk", path), 1);
	assert_int_equal(count_files("tree", path), 1);
	struct digest bytes = bytes_of(base_making_disk(b));
	check_found(&scene, &id, BASE_CHECK_IDENTITY, expected, &bytes);
	tree_free(expected);
	expected = NULL;
	tree_free(two);
	two = NULL;
	base_making_free(b);
	b = NULL;
}

static void edit(const char *path, off_t offset, off_t from_end)
{
	uint8_t byte;
	cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	if (from_end != 0)
		offset = lseek(fd, 0, SEEK_END) - from_end;
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
}

enum damage {
	DAMAGE_DISK_GONE,
	DAMAGE_DISK_CUT,
	DAMAGE_DISK_LONGER,
	DAMAGE_DISK_SUPERBLOCK,
	DAMAGE_DISK_COPIED, /* the same bytes in another file */
	DAMAGE_DISK_BYTE,   /* seen where bytes are looked at */
	DAMAGE_DISK_BYTE_BOOT,
	DAMAGE_RECORD,
	DAMAGE_RECORD_CUT,
	DAMAGE_TREE,
	DAMAGE_TREE_CUT,
	DAMAGE_COUNT,
};

static void copy_file(const char *path)
{
	struct error err;
	struct stat st;
	char other[300];
	snprintf(other, sizeof(other), "%s.copy", path);
	cleanup_close int from = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_close int to = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(from >= 0 && to >= 0 && fstat(from, &st) == 0);
	must(file_copy_range(from, 0, to, 0, (uint64_t)st.st_size, "copy", &err), &err);
	assert_int_equal(rename(other, path), 0);
}

static void do_damage(enum damage damage)
{
	char disk[256], tree[256], boot[256];
	struct stat st;
	assert_int_equal(count_files("disk", disk), 1);
	assert_int_equal(count_files("tree", tree), 1);
	assert_int_equal(stat(disk, &st), 0);
	switch (damage) {
	case DAMAGE_DISK_GONE:
		assert_int_equal(unlink(disk), 0);
		break;
	case DAMAGE_DISK_CUT:
		assert_int_equal(truncate(disk, 4096), 0);
		break;
	case DAMAGE_DISK_LONGER:
		assert_int_equal(truncate(disk, st.st_size + 1), 0);
		break;
	case DAMAGE_DISK_SUPERBLOCK:
		edit(disk, 1024 + 0x3a, 0);
		break;
	case DAMAGE_DISK_COPIED:
		copy_file(disk);
		break;
	case DAMAGE_DISK_BYTE:
		edit(disk, 5 * 4096, 0);
		break;
	case DAMAGE_DISK_BYTE_BOOT:
		edit(disk, 5 * 4096, 0);
		assert_int_equal(count_files("boot", boot), 1);
		assert_int_equal(unlink(boot), 0);
		break;
	case DAMAGE_RECORD:
		edit(tree, 20, 0);
		break;
	case DAMAGE_RECORD_CUT:
		assert_int_equal(truncate(tree, 100), 0);
		break;
	case DAMAGE_TREE:
		edit(tree, 0, 50);
		break;
	case DAMAGE_TREE_CUT:
		assert_int_equal(truncate(tree, BASE_TREE_OFFSET + 10), 0);
		break;
	default:
		fail();
	}
}

/* Each damage is noticed, told in one line, and gone after it. */
static void test_damage(void **state)
{
	(void)state;
	for (enum damage damage = 0; damage < DAMAGE_COUNT; damage++) {
		cleanup_scene struct scene scene = scene_open();
		struct base_id id = id_of("damage");
		cleanup_tree struct tree *tree = make_tree(3);
		cleanup_tree struct tree *second = make_tree(3);
		bool hidden = damage == DAMAGE_DISK_BYTE;
		struct digest bytes = make(&scene, &id, tree);
		do_damage(damage);
		assert_int_equal(is_there(&scene, &id, BASE_CHECK_IDENTITY), hidden);
		if (hidden)
			assert_false(is_there(&scene, &id, BASE_CHECK_BYTES));
		cleanup_free char *words = said(&scene);
		char *end = strchr(words, '\n');
		if (strstr(words, "; it is made anew\n") == NULL || end[1] != '\0')
			fail_msg("damage %d: %s", (int)damage, words);
		assert_false(is_there(&scene, &id, BASE_CHECK_IDENTITY));
		make(&scene, &id, second);
		check_found(&scene, &id, BASE_CHECK_IDENTITY, second, &bytes);
		assert_int_equal(remove_folder(NULL), 0);
		assert_int_equal(make_folder(NULL), 0);
	}
}

/* Without a marker all is read, once. */
static void test_boot(void **state)
{
	(void)state;
	cleanup_scene struct scene scene = scene_open();
	struct base_id id = id_of("boot");
	cleanup_tree struct tree *tree = make_tree(3);
	char path[256];
	struct digest bytes = make(&scene, &id, tree);
	assert_int_equal(count_files("boot", path), 1);
	assert_int_equal(unlink(path), 0);
	check_found(&scene, &id, BASE_CHECK_IDENTITY, tree, &bytes);
	assert_int_equal(count_files("boot", path), 1);
}

/* Every byte of a record counts. */
static void test_record(void **state)
{
	(void)state;
	cleanup_scene struct scene scene = scene_open();
	struct base_id id = id_of("record");
	cleanup_tree struct tree *tree = make_tree(3);
	struct base_record record;
	struct error err;
	char path[256];
	make(&scene, &id, tree);
	assert_int_equal(count_files("tree", path), 1);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	must(base_record_read(fd, &record, &err), &err);
	uint8_t block[BASE_TREE_OFFSET];
	must(file_read_at(fd, block, sizeof(block), 0, "record", &err), &err);
	size_t len = sizeof(block);
	while (block[len - 1] == 0)
		len--;
	for (size_t at = 0; at < len; at++) {
		edit(path, (off_t)at, 0);
		assert_true(base_record_read(fd, &record, &err) < 0);
		assert_int_equal(err.kind, ERROR_INPUT);
		edit(path, (off_t)at, 0);
	}
	must(base_record_read(fd, &record, &err), &err);
}

int main(void)
{
	uint64_t seed = random_seed();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(
			test_made_and_found, make_folder, remove_folder, &seed),
		cmocka_unit_test_setup_teardown(test_early_reader, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_abandoned, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_full, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_full_tree, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_too_large, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_two_makers, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_damage, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_record, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_boot, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
