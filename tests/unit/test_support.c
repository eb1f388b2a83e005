#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/buffer.h"
#include "support/digest.h"
#include "support/error.h"
#include "support/fileio.h"
#include "support/memory.h"

static void test_error_is_one_printable_line(void **state)
{
	(void)state;
	struct error err;
	assert_int_equal(
		error_set(&err, ERROR_INPUT, EINVAL, "name %s", "a\nb\x1b[31m\x7f"), -EINVAL);
	assert_string_equal(err.message, "name a\\x0ab\\x1b[31m\\x7f");
	assert_int_equal(error_wrap(&err, -EINVAL, "layer %d", 3), -EINVAL);
	assert_string_equal(err.message, "layer 3: name a\\x0ab\\x1b[31m\\x7f");
	errno = ENOENT;
	assert_int_equal(error_set_errno(&err, ERROR_INPUT, "x"), -ENOENT);
	assert_string_equal(err.message, "x: No such file or directory");
}

static void test_error_is_cut(void **state)
{
	(void)state;
	struct error err;
	char text[3 * ERROR_MESSAGE_MAX];
	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&err, ERROR_INPUT, EINVAL, "%s", text);
	assert_true(strlen(err.message) < ERROR_MESSAGE_MAX);
	error_wrap(&err, -EINVAL, "%s", text);
	assert_true(strlen(err.message) < ERROR_MESSAGE_MAX);
}

/* A path may be longer than any message: what it is about and what is wrong must both stay. */
static void test_error_keeps_the_reason(void **state)
{
	(void)state;
	static const char reason[] = ": No such file or directory";
	struct error err;
	char path[4096];
	for (const char *c = "a\n"; *c != '\0'; c++) {
		memset(path, *c, sizeof(path) - 1);
		path[sizeof(path) - 1] = '\0';
		errno = ENOENT;
		error_set_errno(&err, ERROR_INPUT, "%s", path);
		for (int i = 0; i < 3; i++)
			error_wrap(&err, -ENOENT, "in %s", path);
		assert_string_equal(err.message + strlen(err.message) - strlen(reason), reason);
		assert_memory_equal(err.message, "in ", 3);
		error_set(&err, ERROR_INPUT, EINVAL, "%s is too long", path);
		error_wrap(&err, -EINVAL, "base.tar");
		assert_memory_equal(err.message, "base.tar: ", 10);
		assert_string_equal(err.message + strlen(err.message) - 12, " is too long");
		assert_non_null(strstr(err.message, "..."));
	}
}

static void test_exit_status(void **state)
{
	(void)state;
	static const struct {
		enum error_kind kind;
		int status;
		int expected;
	} table[] = {
		{ERROR_SCRIPT, 7, 7},
		{ERROR_SCRIPT, 137, 137},
		{ERROR_TIMEOUT, 0, 124},
		{ERROR_INTERRUPTED, 2, 130},
		{ERROR_INTERRUPTED, 15, 143},
		{ERROR_USAGE, 0, 125},
		{ERROR_INPUT, 0, 125},
		{ERROR_MEMORY, 0, 125},
		{ERROR_INTERNAL, 0, 125},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct error err = {.kind = table[i].kind, .status = table[i].status};
		assert_int_equal(error_exit_status(&err), table[i].expected);
	}
}

static void test_digest(void **state)
{
	(void)state;
	/* FIPS 180-2, appendix B.1. */
	static const char abc[] =
		"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	char text[DIGEST_TEXT_SIZE];
	struct digest digest = digest_of("abc", 3);
	struct digest parsed;
	assert_string_equal(digest_text(&digest, text), abc);
	assert_true(digest_parse(&parsed, abc));
	assert_true(digest_equal(&digest, &parsed));
	static const char *const bad[] = {"", "sha256:", "sha512:ba78", abc + 7};
	for (size_t i = 0; i < 4; i++)
		assert_false(digest_parse(&parsed, bad[i]));
	char longer[100];
	snprintf(longer, sizeof(longer), "%s0", abc);
	assert_false(digest_parse(&parsed, longer));
	snprintf(longer, sizeof(longer), "%s", abc);
	longer[7] = 'B';
	assert_false(digest_parse(&parsed, longer));
}

static void test_buffer(void **state)
{
	(void)state;
	cleanup_buffer struct buffer buffer = {0};
	for (int i = 0; i < 1000; i++)
		buffer_printf(&buffer, "%d,", i);
	assert_memory_equal(buffer.data, "0,1,2,", 6);
	buffer_consume(&buffer, 2);
	assert_memory_equal(buffer.data, "1,2,", 4);
	buffer_consume(&buffer, 1 << 20);
	assert_int_equal(buffer.len, 0);
	cleanup_free char *text = buffer_steal_text(&buffer);
	assert_string_equal(text, "");
}

struct folder {
	char path[32];
	char file[64];
};

static int make_folder(void **state)
{
	struct folder *folder = calloc(1, sizeof(*folder));
	assert_non_null(folder);
	strcpy(folder->path, "/tmp/layervm-test-XXXXXX");
	if (mkdtemp(folder->path) == NULL)
		return -1;
	snprintf(folder->file, sizeof(folder->file), "%s/out", folder->path);
	*state = folder;
	return 0;
}

/* Fails where anything but the file itself was left behind. */
static int remove_folder(void **state)
{
	struct folder *folder = *state;
	unlink(folder->file);
	int r = rmdir(folder->path);
	free(folder);
	return r;
}

static void test_output_appears_whole_or_not_at_all(void **state)
{
	const struct folder *folder = *state;
	struct error err;
	struct stat st;
	struct output *output;
	assert_int_equal(output_open(folder->file, &output, &err), 0);
	assert_int_equal(file_write(output_fd(output), "half", 4, "out", &err), 0);
	assert_int_equal(stat(folder->file, &st), -1);
	output_free(output);
	assert_int_equal(stat(folder->file, &st), -1);

	for (int i = 0; i < 2; i++) { /* the second time over an existing file */
		char text[5] = "";
		assert_int_equal(output_open(folder->file, &output, &err), 0);
		assert_int_equal(
			file_write(output_fd(output), i ? "two" : "one", 3, "out", &err), 0);
		assert_int_equal(output_commit(output, &err), 0);
		output_free(output);
		int fd = open(folder->file, O_RDONLY | O_CLOEXEC);
		assert_int_equal(read(fd, text, 4), 3);
		assert_string_equal(text, i ? "two" : "one");
		close(fd);
	}
}

static void test_output_errors(void **state)
{
	const struct folder *folder = *state;
	struct error err;
	struct output *output = NULL;
	assert_int_not_equal(output_open(folder->path, &output, &err), 0);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	/* Where only a file will do, one in its place would take the device away from everybody. */
	assert_int_not_equal(output_open_file("/dev/null", &output, &err), 0);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_non_null(strstr(err.message, "/dev/null: is no regular file"));
	assert_int_not_equal(output_open("/no/such/folder/out", &output, &err), 0);
	assert_int_equal(err.kind, ERROR_OUTPUT);
	assert_null(output);
}

static void test_short_file(void **state)
{
	(void)state;
	struct error err;
	char data[8];
	cleanup_close int fd = file_temporary(&err);
	assert_true(fd >= 0);
	assert_int_equal(file_write(fd, "12345", 5, "file", &err), 0);
	assert_int_equal(file_read_at(fd, data, 3, 2, "file", &err), 0);
	assert_memory_equal(data, "345", 3);
	assert_int_not_equal(file_read_at(fd, data, 4, 2, "file", &err), 0);
	assert_string_equal(err.message, "file: ends at byte 5, where 1 more were expected");
}

static void test_copy_range(void **state)
{
	(void)state;
	struct error err;
	char data[4] = "";
	cleanup_close int from = file_temporary(&err);
	cleanup_close int to = file_temporary(&err);
	assert_int_equal(file_write(from, "abcdef", 6, "from", &err), 0);
	assert_int_equal(file_copy_range(from, 2, to, 10, 3, "from", &err), 0);
	assert_int_equal(file_read_at(to, data, 3, 10, "to", &err), 0);
	assert_string_equal(data, "cde");
	assert_int_not_equal(file_copy_range(from, 2, to, 10, 5, "from", &err), 0);
	assert_int_equal(err.kind, ERROR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_is_one_printable_line),
		cmocka_unit_test(test_error_is_cut),
		cmocka_unit_test(test_error_keeps_the_reason),
		cmocka_unit_test(test_exit_status),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_buffer),
		cmocka_unit_test_setup_teardown(
			test_output_appears_whole_or_not_at_all, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_output_errors, make_folder, remove_folder),
		cmocka_unit_test(test_short_file),
		cmocka_unit_test(test_copy_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
