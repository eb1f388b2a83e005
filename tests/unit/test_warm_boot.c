/*
 * Saved guests in the user's cache, by a QEMU that is none (fake_warm.h): found, made once, thrown
 * away, and not made where that is of no use.
 */
#include "cache_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/warm_boot.h"
#include "commands/warm_refusal.h"
#include "fake_warm.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/template.h"

#define SAVED "guest: is saved after its boot, for later runs\n"
#define BOOTS "guest: boots, because it cannot be saved: "
#define UNUSABLE "guest: boots, because a saved one cannot be used: "

/* A QEMU in a folder of its own, beside that of the cache. */
struct rig {
	char files[64];
	char *qemu, *kernel, *initrd;
	struct vm_options options;
};

static char *make_file(const struct rig *rig, const char *name)
{
	char *path = xasprintf("%s/%s", rig->files, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	return path;
}

/* name: how QEMU behaves. */
static void rig_open(struct rig *rig, const char *name)
{
	cleanup_free char *self = realpath("/proc/self/exe", NULL);
	*rig = (struct rig){.files = "/tmp/layervm-warm-boot-XXXXXX"};
	assert_non_null(self);
	assert_non_null(mkdtemp(rig->files));
	rig->qemu = xasprintf("%s/" FAKE_WARM_PREFIX "%s", rig->files, name);
	assert_return_code(symlink(self, rig->qemu), errno);
	rig->kernel = make_file(rig, "vmlinux");
	rig->initrd = make_file(rig, "initramfs.cpio");
	rig->options = (struct vm_options){
		.qemu = rig->qemu,
		.kernel = rig->kernel,
		.initrd = rig->initrd,
		.accel = VM_ACCEL_TCG,
		.memory_mib = FAKE_WARM_LARGE_MIB,
		.cpus = 1,
		.disk_fd = -1,
		.overlay_fd = -1,
	};
}

static void rig_close(struct rig *rig)
{
	char *const paths[] = {rig->qemu, rig->kernel, rig->initrd};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		unlink(paths[i]);
		free(paths[i]);
	}
	rmdir(rig->files);
}
#define cleanup_rig __attribute__((cleanup(rig_close)))

/* Opens a saved guest. What was said goes to *text, the caller's. */
static void open_warm(
	const struct rig *rig, const struct cache *cache, struct warm_boot *warm, char **text)
{
	struct error err = {0};
	struct buffer said = {0};
	cleanup_close int fd = memfd_create("report", MFD_CLOEXEC);
	struct report *report = report_new(REPORT_PLAIN, fd);
	if (warm_boot_open(cache, &rig->options, report, warm, &err) < 0)
		fail_msg("%s", err.message);
	report_free(report);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(file_read_all(fd, 1 << 16, &said, "report", &err), 0);
	*text = buffer_steal_text(&said);
	/* Both files or none, and the memory is the state's. */
	struct digest memory = warm->template.memory;
	assert_int_equal(warm->is_open, warm->memory >= 0);
	assert_int_equal(warm->is_open, warm->state >= 0);
	if (!warm->is_open)
		return;
	assert_int_equal(warm->memory, warm->template.memory_fd);
	assert_int_equal(warm->state, warm->template.state_fd);
	if (template_check_memory(warm->memory, &memory, &err) < 0)
		fail_msg("%s", err.message);
}

/* One run: whether it has a saved guest, and what was said: all of it, or how it begins. */
static void check_run(
	const struct rig *rig, const struct cache *cache, bool is_open, const char *expected)
{
	cleanup_warm_boot struct warm_boot warm = WARM_BOOT_NONE;
	cleanup_free char *text = NULL;
	open_warm(rig, cache, &warm, &text);
	size_t len = strlen(expected);
	bool whole = len == 0 || expected[len - 1] == '\n';
	if (strncmp(text, expected, len) != 0 || (whole && text[len] != '\0'))
		fail_msg("\"%s\" where \"%s\" was expected", text, expected);
	assert_int_equal(warm.is_open, is_open);
}

static size_t count(const char *kind)
{
	size_t n = 0;
	cleanup_free char *path = xasprintf("%s/%s", folder, kind);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* How many there are: this QEMU's memories are all the same, and so one. */
static void check_counts(size_t states)
{
	assert_int_equal(count(WARM_BOOT_STATE_KIND), states);
	assert_int_equal(count(WARM_BOOT_MEMORY_KIND), states != 0);
}

static void remove_both(const struct cache *cache, const struct warm_boot *warm)
{
	struct error err;
	assert_int_equal(cache_remove(cache, WARM_BOOT_STATE_KIND, &warm->key, &err), 0);
	assert_int_equal(
		cache_remove(cache, WARM_BOOT_MEMORY_KIND, &warm->template.memory, &err), 0);
}

static void test_made_once(void **state)
{
	cleanup_rig struct rig rig;
	cleanup_cache struct cache *cache = open_cache();
	(void)state;
	rig_open(&rig, "well");
	check_run(&rig, cache, true, SAVED);
	check_run(&rig, cache, true, "");
	check_counts(1);
	rig.options.cpus = 2;
	check_run(&rig, cache, true, SAVED);
	check_run(&rig, cache, true, "");
	check_counts(2);
}

/* A copy that is of no use goes, and not what another run has made meanwhile. */
static void test_discard(void **state)
{
	cleanup_rig struct rig rig;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_warm_boot struct warm_boot first = WARM_BOOT_NONE;
	cleanup_warm_boot struct warm_boot second = WARM_BOOT_NONE;
	cleanup_free char *first_text = NULL;
	cleanup_free char *second_text = NULL;
	(void)state;
	rig_open(&rig, "well");
	open_warm(&rig, cache, &first, &first_text);
	remove_both(cache, &first);
	open_warm(&rig, cache, &second, &second_text);
	assert_string_equal(second_text, SAVED);
	warm_boot_discard(cache, &first);
	check_counts(1);
	warm_boot_discard(cache, &second);
	check_counts(0);
	check_run(&rig, cache, true, SAVED);
}

/* A state whose memory is gone, and one that is damaged, are made anew. */
static void test_of_no_use(void **state)
{
	static const char damaged[] = "cache: the saved guest's state: expected the digest sha256:";
	struct error err;
	cleanup_rig struct rig rig;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_warm_boot struct warm_boot warm = WARM_BOOT_NONE;
	cleanup_free char *text = NULL;
	(void)state;
	rig_open(&rig, "well");
	open_warm(&rig, cache, &warm, &text);
	cache_remove(cache, WARM_BOOT_MEMORY_KIND, &warm.template.memory, &err);
	check_run(&rig, cache, true, SAVED);
	check_counts(1);
	check_run(&rig, cache, true, "");
	int fd = -1;
	assert_int_equal(cache_peek(cache, WARM_BOOT_STATE_KIND, &warm.key, O_RDWR, &fd, &err), 1);
	assert_int_equal(pwrite(fd, "x", 1, 70), 1);
	close(fd);
	check_run(&rig, cache, true, damaged);
	check_run(&rig, cache, true, "");
	check_counts(1);
}

/* Another run's saved guest stays, whatever this one cannot do with it. */
static void test_other_disk(void **state)
{
	struct error err;
	cleanup_rig struct rig rig;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_close int disk = file_temporary(&err);
	(void)state;
	rig_open(&rig, "well");
	check_run(&rig, cache, true, SAVED);
	rig.options.disk_fd = disk;
	check_run(&rig, cache, false, UNUSABLE "the guest's disk: its file is 0 bytes long");
	rig.options.disk_fd = -1;
	check_run(&rig, cache, true, "");
}

static void test_cannot_be_saved(void **state)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{"save-full",
			BOOTS "the saved guest's memory: its file takes no more after 8 MiB, as "
			      "on a full file system\n"},
		{"save-refused",
			BOOTS "the guest that was to be saved did not come up: cannot mount"},
		{"save-status", BOOTS "QEMU did not end well after it saved a guest\n"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_rig struct rig rig;
		cleanup_cache struct cache *cache = open_cache();
		cleanup_free char *said = xasprintf(SAVED "%s", rows[i].text);
		rig_open(&rig, rows[i].name);
		check_run(&rig, cache, false, said);
		check_counts(0);
	}
}

/* One that the cache does not take is this run's, and no later run tries again. */
static void test_too_large(void **state)
{
	static const struct {
		const char *max, *text;
		bool is_open;
	} rows[] = {
		{"0",
			BOOTS "it takes 32 MiB, more than half of the 0 MiB that all of the cache "
			      "may take (LAYERVM_CACHE_MAX_SIZE)\n",
			false},
		{"64M", SAVED "cache: ", true},
		{"64M",
			UNUSABLE "it takes 40 MiB, more than half of the 64 MiB that all of the "
				 "cache may take (LAYERVM_CACHE_MAX_SIZE)\n",
			false},
		{"1G", SAVED, true},
		{"1G", "", true},
	};
	cleanup_rig struct rig rig;
	(void)state;
	rig_open(&rig, "save-large");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setenv("LAYERVM_CACHE_MAX_SIZE", rows[i].max, 1);
		cleanup_cache struct cache *cache = open_cache();
		check_run(&rig, cache, rows[i].is_open, rows[i].text);
	}
}

/* Puts bytes over the start of what is remembered of the one refusal. */
static void change_refusal(off_t at, size_t len)
{
	const uint8_t zeros[64] = {0};
	cleanup_free char *path = xasprintf("%s/" WARM_REFUSAL_KIND, folder);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
		if (entry->d_name[0] == '.')
			continue;
		cleanup_close int fd = openat(dirfd(dir), entry->d_name, O_WRONLY | O_CLOEXEC);
		assert_true(len <= sizeof(zeros));
		assert_int_equal(pwrite(fd, zeros, len, at), (ssize_t)len);
	}
	closedir(dir);
}

/* What a full file system or a quota has refused is tried again with more room or after a boot. */
static void test_refused(void **state)
{
	static const char tried[] = SAVED BOOTS "the saved guest's memory: its file takes no more";
	static const char refused[] = BOOTS "an earlier run found no room for it in ";
	cleanup_rig struct rig rig, well;
	cleanup_cache struct cache *cache = open_cache();
	(void)state;
	rig_open(&rig, "save-full");
	check_run(&rig, cache, false, tried);
	check_run(&rig, cache, false, refused);
	check_run(&rig, cache, false, refused);
	check_counts(0);
	assert_int_equal(count(WARM_REFUSAL_KIND), 1);
	/* As where nothing was free then, after another boot, and where it is damaged. */
	static const struct {
		off_t at;
		size_t len;
	} changes[] = {{8, 8}, {16, 32}, {0, 1}};
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		change_refusal(changes[i].at, changes[i].len);
		check_run(&rig, cache, false, tried);
		check_run(&rig, cache, false, refused);
	}
	/* Another guest is another try, and one that was saved is no refusal any more. */
	rig_open(&well, "well");
	check_run(&well, cache, true, SAVED);
	assert_int_equal(count(WARM_REFUSAL_KIND), 1);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash != NULL ? slash + 1 : argv[0];
	if (argc > 1 && strncmp(name, FAKE_WARM_PREFIX, strlen(FAKE_WARM_PREFIX)) == 0)
		fake_warm(name + strlen(FAKE_WARM_PREFIX), argv);
	signal(SIGPIPE, SIG_IGN); /* as layervm has it */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made_once, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_discard, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_of_no_use, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_other_disk, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_cannot_be_saved, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_refused, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_too_large, make_folder, remove_folder),
	};
	return cmocka_run_group_tests_name("warm_boot", tests, NULL, NULL);
}
