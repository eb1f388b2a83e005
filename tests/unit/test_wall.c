/*
 * What QEMU, and passt, may do on the host before any sandbox of their own is on: a program in
 * their place, started as they are, tries it all (wall_attempts.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "skips.h"
#include "support/child.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/interpreter.h"
#include "vm/process.h"
#include "wall_attempts.h"

static char folder[] = "/tmp/layervm-wall-XXXXXX";
static char *program, *file;

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

/* From now on this process is on a kernel without Landlock. */
static int forget_landlock(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		return -1;
	return has_landlock() ? -1 : 0;
}

/* Starts the program as QEMU is started. */
static int start_as_qemu(char *const *argv, const int fds[3], struct child *child)
{
	struct error err;
	const struct process_options options = {
		.program = argv[0],
		.argv = argv,
		.fds = {fds[0], fds[1], fds[2]},
		.fd_count = 3,
		.file_limit = 1 << 20,
	};
	return process_start(&options, child, &err);
}

/* Starts the program as passt is started. */
static int start_as_passt(char *const *argv, const int fds[3], struct child *child)
{
	struct error err;
	struct wall wall;
	wall_make(WALL_OUTER, &wall);
	const struct child_options options = {
		.path = argv[0],
		.argv = (const char *const *)argv,
		.fds = fds,
		.fd_count = 3,
		.dir = -1,
		.death_signal = SIGKILL,
		.privileges = CHILD_NO_NEW_PRIVILEGES,
		.wall = &wall,
		.signals = CHILD_SIGNALS_DEFAULT,
		.failure = "the attempts",
		.failure_kind = ERROR_QEMU,
	};
	return child_start(&options, child, &err);
}

typedef int start_function(char *const *argv, const int fds[3], struct child *child);

/* What the program's parent does: a process of its own, for the filter that forgets Landlock. */
static int follow(start_function *start, char *const *argv, bool landlock, int output)
{
	struct child child;
	struct error err;
	int status = -1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || (!landlock && forget_landlock() < 0))
		return 1;
	if (start(argv, (const int[]){null, output, output}, &child) < 0)
		return 2;
	return child_wait(&child, &status, &err) == 0 && status == 0 ? 0 : 3;
}

/* The program's lines. The caller frees them. */
static char *run(start_function *start, char *path, char *mode, bool landlock)
{
	char *const argv[] = {path, mode, file, NULL};
	struct error err;
	cleanup_buffer struct buffer text = {0};
	cleanup_close int output = file_temporary(&err);
	int status;
	assert_true(output >= 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(follow(start, argv, landlock, output));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_return_code(lseek(output, 0, SEEK_SET), errno);
	assert_int_equal(file_read_all(output, 1 << 20, &text, "the attempts", &err), 0);
	char *lines = buffer_steal_text(&text);
	if (status != 0)
		fail_msg("status %#x after:\n%s", (unsigned)status, lines);
	return lines;
}

static void check_calls(start_function *start, enum wall_kind kind, bool landlock)
{
	cleanup_buffer struct buffer text = {0};
	attempts_expected(kind, &text);
	cleanup_free char *expected = buffer_steal_text(&text);
	cleanup_free char *found =
		run(start, program, kind == WALL_INNER ? "inner" : "outer", landlock);
	assert_string_equal(found, expected);
}

static void test_calls(void **state)
{
	(void)state;
	check_calls(start_as_qemu, WALL_INNER, true);
}

static void test_calls_without_landlock(void **state)
{
	(void)state;
	check_calls(start_as_qemu, WALL_INNER, false);
}

static void test_calls_of_passt(void **state)
{
	(void)state;
	check_calls(start_as_passt, WALL_OUTER, true);
}

static void test_files(void **state)
{
	(void)state;
	/* Files and programs are Landlock's share. */
	if (!has_landlock())
		skip_test("landlock");
	cleanup_free char *found = run(start_as_qemu, program, "files", true);
	assert_string_equal(found, "a file of the user's: EACCES\n"
				   "a file of the user's, for writing: EACCES\n"
				   "a new file: EACCES\n"
				   "users: EACCES\n"
				   "a device: EACCES\n"
				   "the parent's environment: EACCES\n"
				   "the parent's memory: EACCES\n"
				   "its own program: works\n"
				   "another program: EACCES\n");
}

/* A script in QEMU's place may execute QEMU. */
static void test_script(void **state)
{
	(void)state;
	static const char text[] = "#!/bin/sh\nexec /bin/echo runs\n";
	cleanup_free char *path = xasprintf("%s/script", folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	cleanup_free char *found = run(start_as_qemu, path, "files", true);
	assert_return_code(unlink(path), errno);
	assert_string_equal(found, "runs\n");
}

/* A file of some bytes, with an ELF header's worth of this program's at its start. */
static char *damaged(size_t len, size_t at, unsigned char byte)
{
	unsigned char bytes[4096];
	char *path = xasprintf("%s/damaged", folder);
	cleanup_close int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	cleanup_close int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(from >= 0 && to >= 0 && len <= sizeof(bytes) && at < sizeof(bytes));
	assert_int_equal(read(from, bytes, sizeof(bytes)), sizeof(bytes));
	bytes[at] = byte;
	assert_int_equal(write(to, bytes, len), len);
	return path;
}

static void test_interpreter(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		size_t len, at;
		unsigned char byte;
		bool is_program;
	} rows[] = {
		{"whole", 4096, 0, 0x7f, true},
		{"another magic", 4096, 0, '#', false},
		{"32 bits", 4096, EI_CLASS, ELFCLASS32, false},
		{"another order of bytes", 4096, EI_DATA, ELFDATA2MSB, false},
		{"an object", 4096, offsetof(Elf64_Ehdr, e_type), ET_REL, false},
		{"another size of segments", 4096, offsetof(Elf64_Ehdr, e_phentsize), 1, false},
		{"many segments", 4096, offsetof(Elf64_Ehdr, e_phnum) + 1, 0xff, false},
		{"segments far away", 4096, offsetof(Elf64_Ehdr, e_phoff) + 7, 0x7f, false},
		{"segments beyond all", 4096, offsetof(Elf64_Ehdr, e_phoff) + 7, 0xff, false},
		{"a header", sizeof(Elf64_Ehdr), 0, 0x7f, false},
		{"half a header", sizeof(Elf64_Ehdr) / 2, 0, 0x7f, false},
		{"nothing", 0, 0, 0x7f, false},
	};
	cleanup_free char *loader = NULL;
	assert_true(interpreter_find("/proc/self/exe", &loader));
	assert_non_null(loader);
	assert_return_code(access(loader, X_OK), errno);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_free char *path = damaged(rows[i].len, rows[i].at, rows[i].byte);
		cleanup_free char *found = NULL;
		print_message("%s\n", rows[i].what);
		assert_int_equal(interpreter_find(path, &found), rows[i].is_program);
		assert_int_equal(found != NULL, rows[i].is_program);
		assert_return_code(unlink(path), errno);
	}
	cleanup_free char *none = NULL;
	assert_false(interpreter_find("/no/such/file", &none));
	assert_null(none);
}

static int make_files(void **state)
{
	(void)state;
	char *self = realpath("/proc/self/exe", NULL);
	if (self == NULL || mkdtemp(folder) == NULL)
		return -1;
	program = xasprintf("%s/" ATTEMPTS_NAME, folder);
	file = xasprintf("%s/file", folder);
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int r = fd >= 0 ? symlink(self, program) : -1;
	close(fd);
	free(self);
	return r;
}

static int remove_files(void **state)
{
	(void)state;
	unlink(program);
	unlink(file);
	free(program);
	free(file);
	return rmdir(folder);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	if (argc > 2 && strcmp(slash != NULL ? slash + 1 : argv[0], ATTEMPTS_NAME) == 0)
		attempts_run(argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_calls_without_landlock),
		cmocka_unit_test(test_calls_of_passt),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_interpreter),
	};
	return cmocka_run_group_tests_name("wall", tests, make_files, remove_files);
}
