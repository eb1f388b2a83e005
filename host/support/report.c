#include "support/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/buffer.h"
#include "support/error.h"
#include "support/memory.h"
#include "support/printable.h"
#include "support/utf8.h"

struct stage {
	const char *name;
	double start;
	double seconds; /* 0 while it goes on */
};

struct report {
	enum report_mode mode;
	int fd;
	struct stage *stages;
	size_t count;
	size_t capacity;
	bool line_open;   /* REPORT_TTY: a stage stands on the last line */
	bool output_open; /* the script's output does not end with a newline yet */
};

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A report that cannot be written must not stop the work: the errors are passed over. */
static void put(struct report *report, const void *data, size_t len)
{
	const char *p = data;
	while (len > 0) {
		ssize_t n = write(report->fd, p, len);
		if (n <= 0)
			break;
		p += n;
		len -= (size_t)n;
	}
}

static void put_json_text(struct buffer *out, const char *text, size_t len)
{
	buffer_add(out, "\"", 1);
	while (len > 0) {
		unsigned char c = (unsigned char)*text;
		size_t n = utf8_char_len(text, len);
		if (c == '"' || c == '\\')
			buffer_printf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buffer_printf(out, "\\u%04x", c);
		else if (n == 0)
			buffer_add_text(out, "\\ufffd"); /* not UTF-8, which JSON is */
		else
			buffer_add(out, text, n);
		text += n != 0 ? n : 1;
		len -= n != 0 ? n : 1;
	}
	buffer_add(out, "\"", 1);
}

static void put_json(
	struct report *report, const char *type, const char *name, const char *text, size_t len)
{
	cleanup_buffer struct buffer line = {0};
	buffer_printf(&line, "{\"type\":\"%s\",", type);
	if (name != NULL)
		buffer_printf(&line, "\"name\":\"%s\",", name);
	buffer_add_text(&line, "\"text\":");
	put_json_text(&line, text, len);
	buffer_add_text(&line, "}\n");
	put(report, line.data, line.len);
}

/* Makes sure that the next line starts at the left edge. */
static void start_line(struct report *report)
{
	if (report->line_open)
		put(report, "\r\033[K", 4);
	else if (report->output_open)
		put(report, "\n", 1);
	report->line_open = false;
	report->output_open = false;
}

static void __attribute__((format(printf, 4, 0))) put_line(struct report *report, const char *type,
	const char *prefix, const char *format, va_list args)
{
	char raw[2048];
	char text[2048];
	vsnprintf(raw, sizeof(raw), format, args);
	printable_copy(text, sizeof(text), raw);
	if (report->mode == REPORT_JSON) {
		put_json(report, type, NULL, text, strlen(text));
		return;
	}
	cleanup_buffer struct buffer line = {0};
	buffer_printf(&line, "%s%s\n", prefix, text);
	start_line(report);
	put(report, line.data, line.len);
}

struct report *report_new(enum report_mode mode, int fd)
{
	struct report *report = xcalloc(1, sizeof(*report));
	report->mode = mode;
	report->fd = fd;
	return report;
}

void report_free(struct report *report)
{
	if (report == NULL)
		return;
	start_line(report);
	free(report->stages);
	free(report);
}

void report_done(struct report *report)
{
	if (report->count == 0)
		return;
	struct stage *last = &report->stages[report->count - 1];
	if (last->seconds == 0)
		last->seconds = now() - last->start;
}

void report_stage(struct report *report, const char *name, const char *format, ...)
{
	char raw[1024];
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	printable_copy(text, sizeof(text), raw);

	report_done(report);
	report->stages = array_grow(
		report->stages, report->count, &report->capacity, sizeof(*report->stages));
	report->stages[report->count++] = (struct stage){.name = name, .start = now()};

	if (report->mode == REPORT_JSON) {
		put_json(report, "stage", name, text, strlen(text));
	} else if (report->mode != REPORT_QUIET) {
		cleanup_buffer struct buffer line = {0};
		buffer_printf(&line, "%-9s %s", name, text);
		start_line(report);
		if (report->mode == REPORT_PLAIN)
			buffer_add(&line, "\n", 1);
		put(report, line.data, line.len);
		report->line_open = report->mode == REPORT_TTY;
	}
}

void report_note(struct report *report, const char *format, ...)
{
	va_list args;
	if (report->mode == REPORT_QUIET)
		return;
	va_start(args, format);
	put_line(report, "note", "", format, args);
	va_end(args);
}

void report_warning(struct report *report, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	put_line(report, "warning", "layervm: warning: ", format, args);
	va_end(args);
}

void report_output(struct report *report, bool from_stderr, const void *data, size_t len)
{
	if (len == 0)
		return;
	if (report->mode == REPORT_JSON) {
		put_json(report, from_stderr ? "stderr" : "stdout", NULL, data, len);
		return;
	}
	if (report->mode == REPORT_QUIET)
		return;
	if (report->line_open)
		start_line(report);
	put(report, data, len);
	report->output_open = ((const char *)data)[len - 1] != '\n';
}

void report_error(struct report *report, const struct error *err)
{
	cleanup_buffer struct buffer line = {0};
	if (report->mode == REPORT_JSON) {
		put_json(report, "error", error_kind_name(err->kind), err->message,
			strlen(err->message));
		return;
	}
	buffer_printf(&line, "layervm: %s: %s\n", error_kind_name(err->kind), err->message);
	start_line(report);
	put(report, line.data, line.len);
}

bool report_stage_time(
	const struct report *report, size_t index, const char **name, double *seconds)
{
	if (index >= report->count)
		return false;
	*name = report->stages[index].name;
	*seconds = report->stages[index].seconds;
	return true;
}
