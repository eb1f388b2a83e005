/* Outputs that are no regular files, and temporary files where the first folder takes none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/fileio.h"
#include "support/memory.h"
#include "support/stream.h"

static char folder[] = "/tmp/layervm-output-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	return mkdtemp(folder) == NULL || chdir(folder) < 0 ? -1 : 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static void test_names_of_descriptors(void **state)
{
	static const struct {
		const char *path;
		int number;
	} table[] = {
		{"-", 1},
		{"/dev/stdin", 0},
		{"/dev/stdout", 1},
		{"/dev/stderr", 2},
		{"/dev/fd/1", 1},
		{"/proc/self/fd/17", 17},
		{"/dev/fd/", -1},
		{"/dev/fd/-1", -1},
		{"/dev/fd/ 1", -1},
		{"/dev/fd/1x", -1},
		{"/dev/fd/99999999999999999999", -1},
		{"/dev/null", -1},
		{"./-", -1},
		{"", -1},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int found = stream_number(table[i].path);
		if (found != table[i].number)
			fail_msg("%s: %d", table[i].path, found);
		assert_true(output_is_stdout(table[i].path) == (found == 1));
	}
}

typedef int (*opener)(const char *path, struct output **out, struct error *err);

/* Writes to an output in one of the two ways, and commits. */
static void write_to(const char *path, opener open_output)
{
	cleanup_output struct output *output = NULL;
	struct error err = {0};
	if (open_output(path, &output, &err) != 0)
		fail_msg("%s: %s", path, err.message);
	assert_true(output_is_stream(output));
	assert_int_equal(file_write(output_fd(output), "words", 5, path, &err), 0);
	assert_int_equal(output_commit(output, &err), 0);
}

static const opener openers[] = {output_open, output_open_direct};

/* A device stays what it is. */
static void test_devices(void **state)
{
	struct error err;
	struct stat st;
	(void)state;
	for (size_t i = 0; i < 2; i++)
		write_to("/dev/null", openers[i]);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));

	cleanup_output struct output *output = NULL;
	assert_int_equal(output_open("/dev/full", &output, &err), 0);
	assert_int_equal(file_write(output_fd(output), "words", 5, "spool", &err), 0);
	assert_int_equal(output_commit(output, &err), -ENOSPC);
	assert_string_equal(err.message, "/dev/full: cannot write: No space left on device");
}

/* What a reader that is there from the start, or comes later, reads of a FIFO. */
static void check_fifo(opener open_output, bool late)
{
	assert_int_equal(mkfifo("fifo", 0600), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		char text[16] = "";
		if (late)
			usleep(100000);
		int fd = open("fifo", O_RDONLY | O_CLOEXEC);
		size_t len = 0;
		for (ssize_t n; len < 15 && (n = read(fd, text + len, 15 - len)) > 0;)
			len += (size_t)n;
		_exit(strcmp(text, "words") != 0);
	}
	int status;
	write_to("fifo", open_output);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(unlink("fifo"), 0);
}

static void test_fifos(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++)
		check_fifo(openers[i % 2], i >= 2);
}

/* A descriptor is written to where it stands, whatever it is; one of our own is none. */
static void test_descriptors(void **state)
{
	char text[16] = "";
	struct error err;
	int sockets[2];
	(void)state;
	int file = open("file", O_RDWR | O_CREAT, 0600);
	assert_true(file >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	cleanup_free char *path = xasprintf("/dev/fd/%d", file);
	cleanup_free char *socket_path = xasprintf("/proc/self/fd/%d", sockets[0]);
	for (size_t i = 0; i < 2; i++) {
		write_to(path, openers[i]);
		write_to(socket_path, openers[i]);
	}
	assert_int_equal(pread(file, text, 15, 0), 10);
	assert_string_equal(text, "wordswords");
	assert_int_equal(recv(sockets[1], text, 15, 0), 10);
	assert_string_equal(text, "wordswords");

	struct output *output = NULL;
	assert_int_equal(fcntl(file, F_SETFD, FD_CLOEXEC), 0);
	assert_int_equal(output_open(path, &output, &err), -EBADF);
	assert_non_null(strstr(err.message, "was started without a descriptor"));
	close(file);
	file = open("file", O_RDONLY);
	cleanup_free char *readable = xasprintf("/dev/fd/%d", file);
	assert_int_equal(output_open(readable, &output, &err), -EBADF);
	assert_non_null(strstr(err.message, "is open for reading only"));
	assert_null(output);
	close(file);
	close(sockets[0]);
	close(sockets[1]);
	unlink("file");
}

static void test_socket(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
	struct output *output = NULL;
	struct error err;
	(void)state;
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(output_open("socket", &output, &err), -ENXIO);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_non_null(strstr(err.message, "socket: is a socket, which cannot be opened"));
	assert_null(output);
	unlink("socket");
}

/* A link to a file is replaced, and the file that it leads to stays. */
static void test_links(void **state)
{
	struct output *output = NULL;
	struct error err;
	struct stat st;
	(void)state;
	close(open("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(symlink("file", "link"), 0);
	assert_int_equal(output_open("link", &output, &err), 0);
	assert_false(output_is_stream(output));
	assert_int_equal(file_write(output_fd(output), "words", 5, "link", &err), 0);
	assert_int_equal(output_commit(output, &err), 0);
	output_free(output);
	assert_int_equal(lstat("link", &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(stat("file", &st), 0);
	assert_int_equal(st.st_size, 0);
	unlink("file");
	assert_int_equal(unlink("link"), 0);

	assert_int_equal(symlink("/dev/null", "link"), 0);
	write_to("link", output_open);
	assert_int_equal(lstat("link", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	unlink("link");
}

/* TMPDIR that is set is where temporary files are, and nowhere else. */
static void test_tmpdir(void **state)
{
	cleanup_free char *old = getenv("TMPDIR") != NULL ? xstrdup(getenv("TMPDIR")) : NULL;
	char *path = NULL;
	struct error err;
	(void)state;
	setenv("TMPDIR", "/nonexistent/folder", 1);
	assert_int_equal(file_temporary(&err), -ENOENT);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_string_equal(err.message, "/nonexistent/folder: cannot make a temporary file where "
					 "TMPDIR says: No such file or directory");
	assert_int_equal(folder_temporary(&path, &err), -ENOENT);
	assert_non_null(strstr(err.message, "cannot make a temporary folder where TMPDIR says"));
	assert_null(path);

	setenv("TMPDIR", folder, 1);
	assert_int_equal(folder_temporary(&path, &err), 0);
	assert_int_equal(strncmp(path, folder, strlen(folder)), 0);
	assert_int_equal(rmdir(path), 0);
	free(path);
	setenv("TMPDIR", "", 1);
	cleanup_close int fd = file_temporary(&err);
	assert_true(fd >= 0);
	if (old != NULL)
		setenv("TMPDIR", old, 1);
	else
		unsetenv("TMPDIR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_descriptors),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_fifos),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_tmpdir),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
