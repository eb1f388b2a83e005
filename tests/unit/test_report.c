/* The report: what comes through to who reads it, whatever that does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/buffer.h"
#include "support/error.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "support/report.h"
#include "support/utf8.h"

static void test_json(void **state)
{
	(void)state;
	struct error err;
	char text[512] = "";
	cleanup_close int fd = file_temporary(&err);
	cleanup_report struct report *report = report_new(REPORT_JSON, fd);
	report_stage(report, "read", "a \"b\"");
	report_output(report, true, "x\n", 2);
	error_set(&err, ERROR_INPUT, EINVAL, "bad");
	report_error(report, &err);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text,
		"{\"type\":\"stage\",\"name\":\"read\",\"text\":\"a \\\"b\\\"\"}\n"
		"{\"type\":\"stderr\",\"text\":\"x\\u000a\"}\n"
		"{\"type\":\"error\",\"name\":\"input\",\"text\":\"bad\"}\n");
}

/* A character that comes in pieces stays one; what never becomes one is told as such. */
static void test_json_characters(void **state)
{
	static const struct {
		bool from_stderr;
		const char *piece;
	} pieces[] = {
		{false, "a\xc3"},
		{true, "\xf0\x9f"},
		{false, "\xa9"},
		{true, "\x98"},
		{true, "\x80!"},
		{false, "\xe2\x82"},
		{false, "x\xff\xc3"},
		{true, "\xed"},
	};
	static const char expected[] = "{\"type\":\"stdout\",\"text\":\"a\"}\n"
				       "{\"type\":\"stdout\",\"text\":\"\xc3\xa9\"}\n"
				       "{\"type\":\"stderr\",\"text\":\"\xf0\x9f\x98\x80!\"}\n"
				       "{\"type\":\"stdout\",\"text\":\"\\ufffd\\ufffdx\\ufffd\"}\n"
				       "{\"type\":\"stdout\",\"text\":\"\\ufffd\"}\n"
				       "{\"type\":\"stderr\",\"text\":\"\\ufffd\"}\n"
				       "{\"type\":\"note\",\"text\":\"end\"}\n";
	struct error err;
	char text[1024] = "";
	(void)state;
	cleanup_close int fd = file_temporary(&err);
	cleanup_report struct report *report = report_new(REPORT_JSON, fd);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		report_output(
			report, pieces[i].from_stderr, pieces[i].piece, strlen(pieces[i].piece));
	report_note(report, "end");
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, expected);
}

static void test_utf8_unfinished(void **state)
{
	static const struct {
		const char *bytes;
		size_t unfinished;
	} rows[] = {
		{"", 0},
		{"a", 0},
		{"\xc3", 1},
		{"\xc3\xa9", 0},
		{"\xa9", 0},
		{"\xc1", 0},
		{"\xe0", 1},
		{"\xe0\x9f", 0}, /* too long for what it would be */
		{"\xe0\xa0", 2},
		{"\xed\x9f", 2},
		{"\xed\xa0", 0}, /* a surrogate */
		{"\xf0\x8f", 0},
		{"x\xf0\x9f\x98", 3},
		{"\xf4\x8f\xbf", 3},
		{"\xf4\x90", 0}, /* past the last character */
		{"\xf5", 0},
		{"\xf0\x9f\x98\x80", 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
			utf8_unfinished(rows[i].bytes, strlen(rows[i].bytes)), rows[i].unfinished);
}

#define LINES 60000u

static struct buffer expected_lines(void)
{
	struct buffer lines = {0};
	for (unsigned i = 0; i < LINES; i++)
		buffer_printf(&lines, "%u\n", i);
	return lines;
}

/* In pieces that end anywhere. */
static void add_lines(struct report *report)
{
	static const size_t lengths[] = {1, 7, 100, 4096, 70000};
	cleanup_buffer struct buffer lines = expected_lines();
	size_t len;
	for (size_t at = 0, i = 0; at < lines.len; at += len, i++) {
		len = lengths[i % (sizeof(lengths) / sizeof(lengths[0]))];
		if (len > lines.len - at)
			len = lines.len - at;
		report_output(report, false, lines.data + at, len);
	}
}

/* Pipes of any kind with a reader that takes its time: all of the lines come. */
static void check_slow_reader(int flags)
{
	int ends[2];
	int status;
	struct error err;
	cleanup_buffer struct buffer text = {0};
	cleanup_buffer struct buffer expected = expected_lines();
	assert_return_code(pipe2(ends, O_CLOEXEC), errno);
	pid_t writer = fork();
	if (writer == 0) {
		close(ends[0]);
		fcntl(ends[1], F_SETFL, flags);
		struct report *report = report_new(REPORT_PLAIN, ends[1]);
		add_lines(report);
		report_free(report);
		_exit(0);
	}
	close(ends[1]);
	cleanup_close int in = ends[0];
	struct pollfd wait = {.fd = in, .events = POLLIN};
	assert_int_equal(poll(&wait, 1, 60000), 1);
	int r = file_read_all(in, 16u << 20, &text, "pipe", &err);
	assert_int_equal(waitpid(writer, &status, 0), writer);
	assert_int_equal(status, 0);
	assert_int_equal(r, 0);
	assert_int_equal(text.len, expected.len);
	assert_memory_equal(text.data, expected.data, expected.len);
}

static void test_loses_nothing(void **state)
{
	(void)state;
	check_slow_reader(0);
	check_slow_reader(O_NONBLOCK);
}

/* Nobody reads: the writer does not wait, and what it keeps can be dropped at a line's end. */
static void test_deferred(void **state)
{
	int ends[2];
	struct error err;
	cleanup_buffer struct buffer text = {0};
	cleanup_buffer struct buffer expected = expected_lines();
	(void)state;
	assert_return_code(pipe2(ends, O_CLOEXEC), errno);
	cleanup_close int in = ends[0];
	struct report *report = report_new(REPORT_PLAIN, ends[1]);
	report_defer(report);
	assert_int_equal(report_pending_fd(report), -1);
	add_lines(report);
	assert_true(report_full(report));
	assert_true(report_pending_fd(report) >= 0);
	report_drop(report);
	assert_false(report_full(report));
	/* The pipe is full: this is given up, now or after a while. */
	report_note(report, "the end");
	report_settle(report, REPORT_HURRIED);
	assert_int_equal(report_pending_fd(report), -1);
	report_free(report);
	close(ends[1]);
	assert_int_equal(file_read_all(in, 16u << 20, &text, "pipe", &err), 0);
	assert_true(text.len >= 4096 && text.len < expected.len);
	assert_memory_equal(text.data, expected.data, text.len);
}

/* The same where the reader comes back: it gets the line that had begun, and what follows. */
static void test_drops_whole_lines(void **state)
{
	int ends[2];
	struct error err;
	cleanup_buffer struct buffer text = {0};
	(void)state;
	assert_return_code(pipe2(ends, O_CLOEXEC), errno);
	cleanup_close int in = ends[0];
	int status;
	struct report *report = report_new(REPORT_PLAIN, ends[1]);
	report_defer(report);
	add_lines(report);
	report_drop(report);
	report_note(report, "the end");
	fflush(stdout);
	pid_t writer = fork();
	if (writer == 0) {
		close(in);
		report_settle(report, REPORT_UNHURRIED);
		report_free(report);
		_exit(0);
	}
	report_settle(report, REPORT_HURRIED); /* waits for a reader in vain */
	report_free(report);
	close(ends[1]);
	assert_int_equal(file_read_all(in, 16u << 20, &text, "pipe", &err), 0);
	assert_int_equal(waitpid(writer, &status, 0), writer);
	buffer_add(&text, "", 1);
	unsigned line = 0;
	char *rest = (char *)text.data;
	for (; *rest >= '0' && *rest <= '9'; line++) {
		assert_int_equal(strtoul(rest, &rest, 10), line);
		assert_int_equal(*rest++, '\n');
	}
	assert_true(line > 1000 && line < LINES);
	assert_string_equal(rest, "the end\n");
}

static void test_news(void **state)
{
	static const struct {
		const char *topic;
		bool is_news;
	} calls[] = {{"a", true}, {"b", true}, {"a", false}, {"", true}, {"b", false}, {"", false}};
	(void)state;
	struct error err;
	cleanup_close int fd = file_temporary(&err);
	cleanup_report struct report *report = report_new(REPORT_PLAIN, fd);
	cleanup_report struct report *other = report_new(REPORT_PLAIN, fd);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		assert_int_equal(report_is_news(report, calls[i].topic), calls[i].is_news);
	assert_true(report_is_news(other, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_news),
		cmocka_unit_test(test_json_characters),
		cmocka_unit_test(test_utf8_unfinished),
		cmocka_unit_test(test_loses_nothing),
		cmocka_unit_test(test_deferred),
		cmocka_unit_test(test_drops_whole_lines),
	};
	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
