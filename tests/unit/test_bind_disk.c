/* Folders as disks in the cache: found as they were made, and made anew where anything is wrong. */
#include "cache_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/bind_disk.h"
#include "commands/boot_mark.h"
#include "commands/cache_kinds.h"
#include "disk/disk.h"
#include "disk/disk_digest.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/vm.h"

#define NEEDLE "a line that is nowhere else\n"

static char host[] = "/tmp/layervm-bind-XXXXXX";

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%s", err->message);
}

static int make_host(void **state)
{
	(void)state;
	if (mkdtemp(host) == NULL)
		return -1;
	cleanup_free char *path = xasprintf("%s/file", host);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	for (int i = 0; i < 1000; i++) {
		if (dprintf(fd, NEEDLE) < 0)
			return -1;
	}
	return 0;
}

static int remove_host(void **state)
{
	(void)state;
	return nftw(host, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The files of a kind in the cache, and the path of one. */
static unsigned entries(const char *kind, char path[static 256])
{
	char name[128];
	unsigned count = 0;
	snprintf(name, sizeof(name), "%s/%s", folder, kind);
	DIR *stream = opendir(name);
	for (const struct dirent *d; stream != NULL && (d = readdir(stream)) != NULL;) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, 256, "%s/%.100s", name, d->d_name);
		count++;
	}
	if (stream != NULL)
		closedir(stream);
	return count;
}

/* What a run gets. */
struct run {
	struct digest disk;
	struct stat file;
	char *said;   /* without the stage that making it is */
	bool is_made; /* there was that stage */
};

static void run_free(struct run *run)
{
	free(run->said);
}
#define cleanup_run __attribute__((cleanup(run_free)))

static struct run run_checked(enum base_check check)
{
	const struct bind_disk_source source = {.folder = host, .check = check};
	struct error err;
	struct run run;
	struct buffer words = {0};
	cleanup_close int fd = -1;
	cleanup_close int said = memfd_create("report", MFD_CLOEXEC);
	cleanup_cache struct cache *cache = open_cache();
	cleanup_report struct report *report = report_new(REPORT_PLAIN, said);
	must(bind_disk_open(cache, &source, report, &fd, &err), &err);
	must(disk_digest(fd, &run.disk, &err), &err);
	assert_int_equal(fstat(fd, &run.file), 0);
	assert_int_equal(run.file.st_size, VM_DISK_SIZE);
	lseek(said, 0, SEEK_SET);
	must(file_read_all(said, 1 << 20, &words, "report", &err), &err);
	run.said = buffer_steal_text(&words);
	cleanup_free char *stage = xasprintf("mount     %s, as a disk\n", host);
	char *at = strstr(run.said, stage);
	run.is_made = at != NULL;
	if (at != NULL)
		memmove(at, at + strlen(stage), strlen(at + strlen(stage)) + 1);
	return run;
}

static struct run run_once(void)
{
	return run_checked(BASE_CHECK_IDENTITY);
}

/* Whether `cache verify` takes the entry for whole. */
static bool is_whole(const char *kind)
{
	struct error err;
	struct digest key;
	char path[256];
	assert_int_equal(entries(kind, path), 1);
	cleanup_free char *name = xasprintf("sha256:%s", strrchr(path, '/') + 1);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(digest_parse(&key, name));
	int r = cache_kind_find(kind)->verify(fd, &key, &err);
	assert_true(r == 0 || err.kind == ERROR_INPUT);
	return r == 0;
}

static void test_found(void **state)
{
	char path[256];
	(void)state;
	cleanup_run struct run made = run_once();
	assert_string_equal(made.said, "");
	assert_true(made.is_made);
	assert_int_equal(entries(BIND_KIND_RECORD, path), 1);
	assert_int_equal(entries(BIND_KIND_DISK, path), 1);
	assert_int_equal(entries(BOOT_MARK_KIND, path), 1);
	assert_true(is_whole(BIND_KIND_RECORD));
	assert_true(is_whole(BIND_KIND_DISK));
	cleanup_run struct run found = run_once();
	assert_string_equal(found.said, "");
	assert_false(found.is_made);
	assert_int_equal(found.file.st_ino, made.file.st_ino);
	assert_true(digest_equal(&found.disk, &made.disk));
	/* After a boot it is read once. */
	assert_int_equal(entries(BOOT_MARK_KIND, path), 1);
	assert_int_equal(unlink(path), 0);
	cleanup_run struct run booted = run_once();
	assert_false(booted.is_made);
	assert_int_equal(booted.file.st_ino, made.file.st_ino);
	assert_int_equal(entries(BOOT_MARK_KIND, path), 1);
}

static void flip(const char *path, off_t at)
{
	uint8_t byte;
	cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* Where the file's first block is on the disk, of which almost all is a hole. */
static off_t find_needle(const char *path)
{
	char block[DISK_BLOCK_SIZE];
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (off_t at = 0;; at += DISK_BLOCK_SIZE) {
		at = lseek(fd, at, SEEK_DATA) / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE;
		assert_true(at >= 0);
		assert_int_equal(pread(fd, block, sizeof(block), at), sizeof(block));
		if (memcmp(block, NEEDLE, strlen(NEEDLE)) == 0)
			return at;
	}
}

/* Another file that begins and ends as this one does. */
static void copy_file(const char *path)
{
	struct error err;
	cleanup_free char *other = xasprintf("%s.copy", path);
	cleanup_close int from = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_close int to = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	must(file_copy_range(from, 0, to, 0, DISK_BLOCK_SIZE, "copy", &err), &err);
	assert_int_equal(ftruncate(to, VM_DISK_SIZE), 0);
	assert_int_equal(rename(other, path), 0);
}

/* Each damage is noticed, told in one line, and gone after it; the disk is what it always is. */
static void test_damage(void **state)
{
	enum { GONE, CUT, HEAD, COPY, FILE_BYTE, RECORD, RECORD_CUT, OLD_RECORD, DAMAGES };
	(void)state;
	for (int damage = 0; damage < DAMAGES; damage++) {
		char disk[256], record[256], mark[256];
		cleanup_run struct run made = run_once();
		assert_int_equal(entries(BIND_KIND_DISK, disk), 1);
		assert_int_equal(entries(BIND_KIND_RECORD, record), 1);
		assert_int_equal(entries(BOOT_MARK_KIND, mark), 1);
		switch (damage) {
		case GONE:
			assert_int_equal(unlink(disk), 0);
			break;
		case CUT:
			assert_int_equal(truncate(disk, 4096), 0);
			break;
		case HEAD:
			flip(disk, 1024 + 0x38);
			assert_false(is_whole(BIND_KIND_DISK));
			break;
		case COPY:
			copy_file(disk);
			break;
		case FILE_BYTE: /* as a machine that stopped leaves it */
			flip(disk, find_needle(disk));
			assert_int_equal(unlink(mark), 0);
			assert_false(is_whole(BIND_KIND_DISK));
			break;
		case RECORD:
			flip(record, 20);
			assert_false(is_whole(BIND_KIND_RECORD));
			break;
		case RECORD_CUT:
			assert_int_equal(truncate(record, 10), 0);
			assert_false(is_whole(BIND_KIND_RECORD));
			break;
		case OLD_RECORD: /* a disk in the record's place */
			assert_int_equal(rename(disk, record), 0);
			break;
		}
		cleanup_run struct run after = run_once();
		const char *end = strchr(after.said, '\n');
		if (end == NULL || end[1] != '\0' ||
			strstr(after.said, "; it is made anew") == NULL)
			fail_msg("damage %d: \"%s\"", damage, after.said);
		assert_true(after.is_made);
		assert_true(digest_equal(&after.disk, &made.disk));
		cleanup_run struct run again = run_once();
		assert_string_equal(again.said, "");
		assert_false(again.is_made);
		assert_true(digest_equal(&again.disk, &made.disk));
		assert_true(is_whole(BIND_KIND_DISK));
		assert_int_equal(remove_folder(NULL), 0);
		assert_int_equal(make_folder(NULL), 0);
	}
}

/* Damage behind a disk's head is believed until its bytes are asked for. */
static void test_bytes_are_checked(void **state)
{
	char disk[256];
	(void)state;
	cleanup_run struct run made = run_once();
	cleanup_run struct run whole = run_checked(BASE_CHECK_BYTES);
	assert_false(whole.is_made);
	assert_string_equal(whole.said, "");
	assert_int_equal(entries(BIND_KIND_DISK, disk), 1);
	flip(disk, find_needle(disk));
	cleanup_run struct run believed = run_once();
	assert_false(believed.is_made);
	assert_false(digest_equal(&believed.disk, &made.disk));
	cleanup_run struct run checked = run_checked(BASE_CHECK_BYTES);
	assert_true(checked.is_made);
	assert_true(digest_equal(&checked.disk, &made.disk));
	assert_non_null(
		strstr(checked.said, "cache: a folder's disk in the cache: expected the digest "));
	assert_non_null(strstr(checked.said, "; it is made anew\n"));
	assert_true(is_whole(BIND_KIND_DISK));
}

/* The run has its disk in any case. */
static void test_too_large(void **state)
{
	char path[256];
	(void)state;
	setenv("LAYERVM_CACHE_MAX_SIZE", "0", 1);
	cleanup_run struct run run = run_once();
	assert_non_null(strstr(run.said, "LAYERVM_CACHE_MAX_SIZE"));
	assert_int_equal(entries(BIND_KIND_DISK, path) + entries(BIND_KIND_RECORD, path), 0);
	assert_int_equal(remove_folder(NULL), 0);
	assert_int_equal(make_folder(NULL), 0);
	cleanup_run struct run kept = run_once();
	assert_true(digest_equal(&run.disk, &kept.disk));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_found, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_damage, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_bytes_are_checked, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_too_large, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, make_host, remove_host);
}
