/*
 * Guests that are saved and restored, and guests that are started before their job is there,
 * against a QEMU that is none (fake_warm.h): what a template is, and all that can go wrong with it.
 */
#include "leftovers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_warm.h"
#include "skips.h"
#include "support/clock.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "vm/template.h"
#include "vm/vm.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE 4096
#define MEMORY_MIB 16
#define DISK_SIZE (64u << 20)
/* What QEMU may write for a disk of DISK_SIZE, and for one of a MiB. */
#define WHOLE_LIMIT "84934656"
#define MIB_LIMIT "17842176"
#define RESTORED(limit) "restored, disk \"\", size " limit " " limit "\n"

static char folder[] = "/tmp/layervm-warm-XXXXXX";
static char *kernel, *initrd;

/* -- a rig ------------------------------------------------------------------------------------ */

/* A template, with what a run needs besides. */
struct rig {
	char *program;
	int disk, overlay, memory, state, text;
	struct vm_template template;
	struct vm_options options;
	struct report *report;
};

static int temporary(void)
{
	struct error err;
	int fd = file_temporary(&err);
	assert_true(fd >= 0);
	return fd;
}

/* name: how QEMU behaves. Nothing is saved yet. */
static void rig_open(struct rig *rig, const char *name)
{
	cleanup_free char *self = realpath("/proc/self/exe", NULL);
	assert_non_null(self);
	*rig = (struct rig){.disk = temporary(),
		.overlay = temporary(),
		.memory = temporary(),
		.state = temporary(),
		.text = temporary(),
		.program = xasprintf("%s/" FAKE_WARM_PREFIX "%s", folder, name)};
	assert_return_code(symlink(self, rig->program), errno);
	assert_return_code(ftruncate(rig->disk, DISK_SIZE), errno);
	rig->options = (struct vm_options){
		.qemu = rig->program,
		.kernel = kernel,
		.initrd = initrd,
		.accel = VM_ACCEL_TCG,
		.memory_mib = MEMORY_MIB,
		.cpus = 1,
		.timeout = 60,
		.disk_fd = rig->disk,
		.overlay_fd = rig->overlay,
	};
	rig->report = report_new(REPORT_PLAIN, rig->text);
}

static void rig_close(struct rig *rig)
{
	report_free(rig->report);
	close(rig->disk);
	close(rig->overlay);
	close(rig->memory);
	close(rig->state);
	close(rig->text);
	unlink(rig->program);
	free(rig->program);
}
#define cleanup_rig __attribute__((cleanup(rig_close)))

static void rig_read(struct rig *rig)
{
	struct error err = {0};
	if (template_read(rig->state, VM_ACCEL_TCG, &rig->template, &err) < 0)
		fail_msg("%s", err.message);
	rig->template.memory_fd = rig->memory;
	rig->options.template = &rig->template;
}

/* A rig with a template. */
static void rig_save(struct rig *rig, const char *name)
{
	struct error err = {0};
	rig_open(rig, name);
	if (template_make(&rig->options, rig->memory, rig->state, &err) < 0)
		fail_msg("%s", err.message);
	rig_read(rig);
}

/* The report, and nothing in it for the next run. */
static char *rig_text(struct rig *rig)
{
	struct error err;
	struct buffer text = {0};
	assert_return_code(lseek(rig->text, 0, SEEK_SET), errno);
	assert_int_equal(file_read_all(rig->text, 1u << 20, &text, "report", &err), 0);
	assert_return_code(ftruncate(rig->text, 0), errno);
	assert_return_code(lseek(rig->text, 0, SEEK_SET), errno);
	return buffer_steal_text(&text);
}

static const char *const no_env[] = {NULL};
static const struct vm_job job = {
	.script = "echo hi\n", .script_len = 8, .env = no_env, .cwd = "/"};

/* How a run comes by its guest: it goes on from the saved one; it boots, and whose fault that is.
 */
enum origin { ORIGIN_SAVED, ORIGIN_BAD, ORIGIN_NOT_TO_BLAME };

/* Runs the job. The report must be the text. */
static void check_origin(struct rig *rig, enum origin origin, const char *expected)
{
	struct vm_outcome outcome;
	struct error err = {0};
	unsigned threads = count_threads();
	if (vm_run(&rig->options, &job, rig->report, &outcome, &err) < 0)
		fail_msg("%s: %s", rig->program, err.message);
	cleanup_free char *text = rig_text(rig);
	assert_string_equal(text, expected);
	assert_int_equal(outcome.restored, origin == ORIGIN_SAVED);
	if (outcome.template_bad != (origin == ORIGIN_BAD))
		fail_msg("%s: template_bad is %d", rig->program, outcome.template_bad);
	assert_int_equal(outcome.accel, VM_ACCEL_TCG);
	assert_true(outcome.boot_seconds >= 0 && outcome.boot_seconds < 30);
	assert_false(has_children());
	check_threads(threads);
}

static void check_run(struct rig *rig, bool restored, const char *expected)
{
	check_origin(rig, restored ? ORIGIN_SAVED : ORIGIN_BAD, expected);
}

/* -- templates -------------------------------------------------------------------------------- */

static void test_save_and_restore(void **state)
{
	cleanup_rig struct rig rig;
	(void)state;
	rig_save(&rig, "well");
	check_run(&rig, true, RESTORED(WHOLE_LIMIT));
	/* As often as one likes. */
	check_run(&rig, true, RESTORED(WHOLE_LIMIT));
	/* Saved with another accelerator: that guest boots, and the template is not to blame. */
	struct vm_outcome outcome;
	struct error err;
	rig.template.accel = VM_ACCEL_KVM;
	assert_int_equal(vm_run(&rig.options, &job, rig.report, &outcome, &err), 0);
	assert_false(outcome.restored);
	assert_false(outcome.template_bad);
}

static void test_save_fails(void **state)
{
	static const struct {
		const char *name, *message;
		enum error_kind kind;
	} rows[] = {
		{"save-silent", "the guest that was to be saved did not come up", ERROR_GUEST},
		{"save-refused",
			"the guest that was to be saved did not come up: cannot mount\\x0a",
			ERROR_GUEST},
		{"save-flood", "the guest that was to be saved did not come up", ERROR_GUEST},
		{"save-full",
			"the saved guest's memory: its file takes no more after 8 MiB, as on a "
			"full "
			"file system",
			ERROR_OUTPUT},
		{"save-fails", "QEMU could not save its state", ERROR_QEMU},
		{"save-status", "QEMU did not end well after it saved a guest", ERROR_QEMU},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		cleanup_rig struct rig rig;
		rig_open(&rig, rows[i].name);
		assert_true(template_make(&rig.options, rig.memory, rig.state, &err) < 0);
		assert_string_equal(err.message, rows[i].message);
		assert_int_equal(err.kind, rows[i].kind);
		assert_false(has_children());
		/* What was begun is no template, and takes no room. */
		assert_int_equal(lseek(rig.memory, 0, SEEK_END), 0);
		assert_int_equal(lseek(rig.state, 0, SEEK_END), 0);
		assert_int_not_equal(
			template_read(rig.state, VM_ACCEL_TCG, &rig.template, &err), 0);
	}
}

static uint8_t flip(int fd, off_t at)
{
	uint8_t byte;
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	return byte;
}

/* Every byte of a state counts, and so does its length. */
static void test_state_is_checked(void **state)
{
	cleanup_rig struct rig rig;
	struct stat st;
	(void)state;
	rig_save(&rig, "well");
	assert_return_code(fstat(rig.state, &st), errno);
	assert_int_equal(st.st_size, 104 + strlen(FAKE_WARM_STATE));
	for (off_t at = 0; at < st.st_size; at++) {
		struct error err = {0};
		struct vm_template template;
		flip(rig.state, at);
		int r = template_read(rig.state, VM_ACCEL_TCG, &template, &err);
		flip(rig.state, at);
		if (r == 0)
			fail_msg("byte %ld was believed", (long)at);
		assert_int_equal(err.kind, ERROR_INPUT);
	}
	assert_int_equal(pwrite(rig.state, "", 1, st.st_size), 1);
	for (off_t size = st.st_size + 1; size-- > 0;) {
		struct error err = {0};
		struct vm_template template;
		/* With the byte too many first. */
		int r = template_read(rig.state, VM_ACCEL_TCG, &template, &err);
		if (r == 0)
			fail_msg("a state of %ld bytes was believed", (long)size + 1);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_return_code(ftruncate(rig.state, size), errno);
		if (size == st.st_size)
			assert_return_code(ftruncate(rig.state, --size), errno);
	}
}

/* Copies a memory without its holes. */
static void make_dense(int to, int from)
{
	static uint8_t bytes[MEMORY_MIB << 20];
	assert_int_equal(pread(from, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(pwrite(to, bytes, sizeof(bytes), 0), sizeof(bytes));
}

/* A memory is what it holds, whichever of its zeros are holes. */
static void test_memory_with_other_holes(void **state)
{
	cleanup_close int dense = temporary();
	cleanup_rig struct rig rig;
	struct stat sparse_st, dense_st;
	(void)state;
	rig_save(&rig, "well");
	make_dense(dense, rig.memory);
	assert_return_code(fstat(rig.memory, &sparse_st), errno);
	assert_return_code(fstat(dense, &dense_st), errno);
	if (sparse_st.st_blocks >= dense_st.st_blocks)
		skip_test("sparse-files");
	rig.template.memory_fd = dense;
	check_run(&rig, true, RESTORED(WHOLE_LIMIT));
}

static void change_zero(int fd)
{
	flip(fd, 7 * PAGE + 9);
}

static void change_byte(int fd)
{
	flip(fd, 1024 * PAGE + 9);
}

/* The one byte of a page that is no zero. */
static void clear_page(int fd)
{
	assert_int_equal(pwrite(fd, "", 1, 3 * PAGE), 1);
}

static void move_page(int fd)
{
	clear_page(fd);
	assert_int_equal(pwrite(fd, "\2", 1, 4 * PAGE), 1);
}

static void cut_byte(int fd)
{
	assert_return_code(ftruncate(fd, (MEMORY_MIB << 20) - 1), errno);
}

static void cut_pages(int fd)
{
	assert_return_code(ftruncate(fd, MEMORY_MIB << 19), errno);
}

static void add_page(int fd)
{
	assert_return_code(ftruncate(fd, (MEMORY_MIB << 20) + PAGE), errno);
}

static void test_memory_is_checked(void **state)
{
	static void (*const changes[])(int) = {
		change_zero, change_byte, clear_page, move_page, cut_byte, cut_pages, add_page};
	static const char said[] = "guest: boots, because a saved one cannot be used: "
				   "the saved guest's memory: ";
	cleanup_rig struct rig rig;
	(void)state;
	rig_save(&rig, "blind");
	for (size_t i = 0; i < COUNT(changes); i++) {
		struct vm_outcome outcome;
		struct error err = {0};
		cleanup_close int memory = temporary();
		make_dense(memory, rig.memory);
		changes[i](memory);
		rig.template.memory_fd = memory;
		if (vm_run(&rig.options, &job, rig.report, &outcome, &err) < 0)
			fail_msg("%zu: %s", i, err.message);
		cleanup_free char *text = rig_text(&rig);
		if (strncmp(text, said, strlen(said)) != 0 ||
			strstr(text, "\nbooted, disk") == NULL)
			fail_msg("%zu: %s", i, text);
		assert_true(outcome.template_bad);
		assert_false(outcome.restored);
	}
}

/* What may be written follows from what is on the disks, however long their files are. */
static void test_further_limit(void **state)
{
	static const struct {
		uint64_t size;
		bool writable;
		const char *text;
	} rows[] = {
		{1u << 20, true, RESTORED(WHOLE_LIMIT)},
		{1u << 27, true, RESTORED("153092096")},
		{1u << 27, false, RESTORED(WHOLE_LIMIT)},
		{0, true, RESTORED("69809995776")},
	};
	cleanup_close int disk = temporary();
	cleanup_rig struct rig rig;
	(void)state;
	assert_return_code(ftruncate(disk, (off_t)VM_DISK_SIZE), errno);
	rig_save(&rig, "well");
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct vm_disk further = {.fd = disk,
			.overlay_fd = -1,
			.writable = rows[i].writable,
			.size = rows[i].size};
		rig.options.further = &further;
		rig.options.further_count = 1;
		check_run(&rig, true, rows[i].text);
	}
}

/* -- restores that do not work ---------------------------------------------------------------- */

#define CANNOT "guest: boots, because a saved one cannot be used: "
#define DID_NOT "guest: boots, because a saved one did not go on: "
#define BOOTED "\nbooted, disk \"\", size " WHOLE_LIMIT " " WHOLE_LIMIT "\n"

#define CLOSED CANNOT "QEMU closed its control channel before it was ready" BOOTED
#define ENDED(how) DID_NOT "QEMU was ended by signal " how BOOTED

/* A saved guest is of no use by faults of its own, and of use again after others. */
static void test_boots_instead(void **state)
{
	static const struct {
		const char *name;
		enum origin origin;
		const char *text;
	} rows[] = {
		{"gone", ORIGIN_NOT_TO_BLAME, CLOSED}, /* as where there is no memory for it */
		{"end-early", ORIGIN_NOT_TO_BLAME, CLOSED},
		{"die", ORIGIN_NOT_TO_BLAME, CLOSED},
		{"no-room", ORIGIN_NOT_TO_BLAME, CLOSED},
		{"die-late", ORIGIN_NOT_TO_BLAME, ENDED("9 (SIGKILL)")},
		{"refuse", ORIGIN_BAD,
			CANNOT "QEMU refused \"migrate-incoming\": no such device" BOOTED},
		{"crash", ORIGIN_BAD, CLOSED},
		{"leave", ORIGIN_BAD, CLOSED},
		{"fail", ORIGIN_BAD, CANNOT "QEMU could not load its state" BOOTED},
		{"crash-late", ORIGIN_BAD, ENDED("11 (SIGSEGV)")},
		{"reset", ORIGIN_BAD,
			DID_NOT "the guest did not come up with 16 MiB of memory, it needs 96; "
				"raise buildVMMemorySize (--memory)" BOOTED},
		{"confused", ORIGIN_BAD,
			DID_NOT "the guest sent a frame of type 1 and length 3 before it is "
				"awake, where none such is expected" BOOTED},
		{"unfit", ORIGIN_BAD, DID_NOT "the guest did not wake up: no disk" BOOTED},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		cleanup_rig struct rig rig;
		rig_save(&rig, rows[i].name);
		check_origin(&rig, rows[i].origin, rows[i].text);
	}
}

static void test_timeout(void **state)
{
	static const char *const names[] = {"mute", "asleep"};
	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct vm_outcome outcome;
		struct error err = {0};
		cleanup_rig struct rig rig;
		rig_save(&rig, names[i]);
		rig.options.timeout = 1;
		int64_t start = clock_ms();
		assert_int_equal(
			vm_run(&rig.options, &job, rig.report, &outcome, &err), -ETIMEDOUT);
		assert_int_equal(err.kind, ERROR_TIMEOUT);
		assert_string_equal(err.message, "the guest's start was not done after the 1 "
						 "seconds of the time limit (--timeout)");
		assert_in_range(clock_ms() - start, 1000, 10000);
		assert_false(outcome.template_bad);
		assert_false(has_children());
	}
}

/* What the process of test_interrupts does once it was told that all is ready. */
static int run_interrupted(const char *name, int ready)
{
	struct vm_outcome outcome;
	struct error err = {0};
	struct vm *vm = NULL;
	cleanup_rig struct rig rig;
	bool saves = strncmp(name, "save-", 5) == 0;
	if (saves)
		rig_open(&rig, name);
	else
		rig_save(&rig, name);
	if (interrupt_setup(&err) < 0)
		return 1;
	if (!saves && vm_start(&rig.options, rig.report, &vm, &err) < 0)
		return 2;
	if (write(ready, "x", 1) != 1)
		return 3;
	int r = saves ? template_make(&rig.options, rig.memory, rig.state, &err)
		      : vm_continue(vm, &job, &outcome, &err);
	vm_free(vm);
	if (r == 0 || err.kind != ERROR_INTERRUPTED || has_children())
		return 4;
	cleanup_free char *text = rig_text(&rig);
	return *text == '\0' ? 0 : 5;
}

/* A signal ends a run wherever it is, and no guest boots in the place of one that was ended. */
static void test_interrupts(void **state)
{
	static const char *const names[] = {"mute", "asleep", "save-hang"};
	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		int ready[2];
		int status;
		char byte;
		assert_return_code(pipe2(ready, O_CLOEXEC), errno);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(run_interrupted(names[i], ready[1]));
		close(ready[1]);
		ssize_t n = read(ready[0], &byte, 1);
		int64_t start = clock_ms();
		close(ready[0]);
		if (n == 1)
			kill(pid, SIGINT);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fail_msg("%s: status %d", names[i], status);
		assert_in_range(clock_ms() - start, 0, 10000);
	}
}

/* -- started before the job is there ---------------------------------------------------------- */

/* The disk's content, and how much of it there is, come when QEMU runs. */
static void test_early_start(void **state)
{
	static const char *const expected[] = {
		"booted, disk \"later\", size " MIB_LIMIT " " MIB_LIMIT "\n",
		"restored, disk \"later\", size " MIB_LIMIT " " MIB_LIMIT "\n",
		CANNOT "QEMU could not load its state\n"
		       "booted, disk \"later\", size " MIB_LIMIT " " MIB_LIMIT "\n",
	};
	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		struct vm_outcome outcome;
		struct error err = {0};
		cleanup_rig struct rig rig;
		cleanup_vm struct vm *vm = NULL;
		rig_save(&rig, i < 2 ? "well" : "fail");
		if (i == 0)
			rig.options.template = NULL;
		assert_int_equal(vm_start(&rig.options, rig.report, &vm, &err), 0);
		assert_int_equal(pwrite(rig.disk, "later", 5, 0), 5);
		rig.options.disk_size = 1u << 20;
		if (vm_continue(vm, &job, &outcome, &err) < 0)
			fail_msg("%s", err.message);
		cleanup_free char *text = rig_text(&rig);
		assert_string_equal(text, expected[i]);
		assert_int_equal(outcome.restored, i == 1);
	}
}

/* A guest that is given no job leaves nothing, wherever it was. */
static void test_given_up(void **state)
{
	static const char *const names[] = {"well", "mute", "die", "asleep"};
	unsigned threads = count_threads();
	(void)state;
	for (size_t i = 0; i < 2 * COUNT(names); i++) {
		struct error err = {0};
		struct vm *vm = NULL;
		cleanup_rig struct rig rig;
		rig_save(&rig, names[i / 2]);
		if (i % 2 == 1)
			rig.options.template = NULL;
		assert_int_equal(vm_start(&rig.options, rig.report, &vm, &err), 0);
		vm_free(vm);
		assert_false(has_children());
		check_threads(threads);
		cleanup_free char *text = rig_text(&rig);
		assert_string_equal(text, "");
	}
}

/* -- all of it -------------------------------------------------------------------------------- */

static char *make_file(const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", folder, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd >= 0 ? steal_ptr(&path) : NULL;
}

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	kernel = make_file("vmlinux");
	initrd = make_file("initramfs.cpio");
	return kernel != NULL && initrd != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(kernel);
	unlink(initrd);
	free(kernel);
	free(initrd);
	return rmdir(folder);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash != NULL ? slash + 1 : argv[0];
	if (argc > 1 && strncmp(name, FAKE_WARM_PREFIX, strlen(FAKE_WARM_PREFIX)) == 0)
		fake_warm(name + strlen(FAKE_WARM_PREFIX), argv);
	signal(SIGPIPE, SIG_IGN); /* as layervm has it */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_save_and_restore),
		cmocka_unit_test(test_save_fails),
		cmocka_unit_test(test_state_is_checked),
		cmocka_unit_test(test_memory_with_other_holes),
		cmocka_unit_test(test_memory_is_checked),
		cmocka_unit_test(test_further_limit),
		cmocka_unit_test(test_boots_instead),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_early_start),
		cmocka_unit_test(test_given_up),
	};
	return cmocka_run_group_tests_name("vm_warm", tests, make_folder, remove_folder);
}
