#include "support/report.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/buffer.h"
#include "support/cpu_time.h"
#include "support/error.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "support/outlet.h"
#include "support/printable.h"
#include "support/utf8.h"

struct stage {
	struct report_time time;
	bool is_open; /* it goes on */
	double cpu;   /* report_cpu at its beginning */
};

/* The beginning of a character, whose rest has not come yet. */
struct unfinished {
	char bytes[UTF8_MAX - 1];
	size_t len;
};

struct report {
	enum report_mode mode;
	struct outlet outlet;
	struct buffer pending;
	bool deferred;
	bool hurried;
	double limit; /* of the wait for a reader that does not read; 0: it has not begun */
	double start;
	double left_out; /* processor time that is no stage's */
	struct stage *stages;
	size_t count;
	size_t capacity;
	bool line_open;   /* REPORT_TTY: a stage stands on the last line */
	bool output_open; /* the script's output does not end with a newline yet */
	/* REPORT_JSON: of standard output and standard error. */
	struct unfinished unfinished[2];
	const char **topics; /* of report_is_news */
	size_t topic_count;
	size_t topic_capacity;
};

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Writes once, where poll has found room. A report that cannot be written stops no work. */
static void write_once(struct report *report)
{
	struct error ignored;
	size_t before = report->pending.len;
	if (outlet_write(&report->outlet, &report->pending, &ignored) < 0)
		report->pending.len = 0;
	if (report->pending.len < before)
		report->limit = 0;
}

/* How long, in milliseconds, to wait now for somebody to read; -1: without an end. */
static int patience(struct report *report)
{
	if (interrupt_count() >= 2)
		return 0;
	if (!report->hurried && interrupt_count() == 0)
		return -1;
	if (report->limit == 0)
		report->limit = now() + REPORT_PATIENCE_MS / 1e3;
	double left = (report->limit - now()) * 1e3;
	return left > 0 ? (int)left + 1 : 0;
}

static void write_all(struct report *report)
{
	enum { OUT, SIGNALS, COUNT };
	if (report->outlet.fd < 0)
		report->pending.len = 0;
	while (report->pending.len != 0) {
		int wait = patience(report);
		struct pollfd fds[COUNT] = {
			[OUT] = {.fd = report->outlet.fd, .events = POLLOUT},
			[SIGNALS] = {.fd = wait < 0 ? interrupt_fd() : -1, .events = POLLIN},
		};
		int n = poll(fds, COUNT, wait);
		if (n == 0)
			report->pending.len = 0; /* nobody will read it */
		else if (n > 0 && fds[OUT].revents != 0)
			write_once(report);
	}
}

static void put(struct report *report, const void *data, size_t len)
{
	buffer_add(&report->pending, data, len);
	if (report->deferred)
		report_pass_on(report);
	else
		write_all(report);
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

/* What came of characters is all of them that will come. */
static void end_output(struct report *report)
{
	static const char *const types[] = {"stdout", "stderr"};
	for (size_t i = 0; i < 2; i++) {
		struct unfinished *unfinished = &report->unfinished[i];
		if (unfinished->len != 0)
			put_json(report, types[i], NULL, unfinished->bytes, unfinished->len);
		unfinished->len = 0;
	}
}

/* Puts an object that is no output. */
static void put_other_json(
	struct report *report, const char *type, const char *name, const char *text, size_t len)
{
	end_output(report);
	put_json(report, type, name, text, len);
}

static void put_json_output(struct report *report, bool from_stderr, const char *data, size_t len)
{
	struct unfinished *unfinished = &report->unfinished[from_stderr];
	cleanup_buffer struct buffer text = {0};
	buffer_add(&text, unfinished->bytes, unfinished->len);
	buffer_add(&text, data, len);
	unfinished->len = utf8_unfinished(text.data, text.len);
	text.len -= unfinished->len;
	memcpy(unfinished->bytes, text.data + text.len, unfinished->len);
	if (text.len != 0)
		put_json(report, from_stderr ? "stderr" : "stdout", NULL, (char *)text.data,
			text.len);
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
		put_other_json(report, type, NULL, text, strlen(text));
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
	report->start = now();
	outlet_open(&report->outlet, fd);
	return report;
}

void report_free(struct report *report)
{
	if (report == NULL)
		return;
	end_output(report);
	start_line(report);
	report_settle(report, REPORT_UNHURRIED);
	outlet_close(&report->outlet);
	buffer_free(&report->pending);
	free(report->stages);
	free(report->topics);
	free(report);
}

double report_clock(const struct report *report)
{
	return now() - report->start;
}

double report_cpu(const struct report *report)
{
	return cpu_seconds(RUSAGE_SELF) + cpu_seconds(RUSAGE_CHILDREN) - report->left_out;
}

static struct stage *add_stage(struct report *report, const struct report_time *time)
{
	report->stages = array_grow(
		report->stages, report->count, &report->capacity, sizeof(*report->stages));
	struct stage *stage = &report->stages[report->count++];
	*stage = (struct stage){.time = *time};
	return stage;
}

void report_done(struct report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		struct stage *stage = &report->stages[i];
		if (!stage->is_open)
			continue;
		stage->is_open = false;
		stage->time.seconds = report_clock(report) - stage->time.begin;
		stage->time.cpu = report_cpu(report) - stage->cpu;
	}
}

void report_beside(struct report *report, const struct report_time *time)
{
	size_t at = (size_t)(add_stage(report, time) - report->stages);
	const struct stage stage = report->stages[at];
	for (; at > 0 && report->stages[at - 1].time.begin > time->begin; at--)
		report->stages[at] = report->stages[at - 1];
	report->stages[at] = stage;
}

void report_leave_out(struct report *report, double cpu)
{
	report->left_out += cpu;
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
	struct stage *stage = add_stage(
		report, &(struct report_time){.name = name, .begin = report_clock(report)});
	stage->is_open = true;
	stage->cpu = report_cpu(report);

	if (report->mode == REPORT_JSON) {
		put_other_json(report, "stage", name, text, strlen(text));
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

bool report_is_news(struct report *report, const char *topic)
{
	for (size_t i = 0; i < report->topic_count; i++) {
		if (strcmp(report->topics[i], topic) == 0)
			return false;
	}
	report->topics = array_grow(report->topics, report->topic_count, &report->topic_capacity,
		sizeof(*report->topics));
	report->topics[report->topic_count++] = topic;
	return true;
}

void report_output(struct report *report, bool from_stderr, const void *data, size_t len)
{
	if (len == 0)
		return;
	if (report->mode == REPORT_JSON) {
		put_json_output(report, from_stderr, data, len);
		return;
	}
	if (report->mode == REPORT_QUIET)
		return;
	if (report->line_open)
		start_line(report);
	put(report, data, len);
	report->output_open = ((const char *)data)[len - 1] != '\n';
}

void report_line(struct report *report, const char *type, const char *text)
{
	cleanup_buffer struct buffer line = {0};
	for (const char *p = text; *p != '\0'; p++) {
		if (((unsigned char)*p >= 0x20 && *p != 0x7f) || *p == '\t')
			buffer_add(&line, p, 1);
		else
			buffer_printf(&line, "\\x%02x", (unsigned char)*p);
	}
	if (report->mode == REPORT_JSON) {
		put_other_json(report, type, NULL, (const char *)line.data, line.len);
		return;
	}
	buffer_add(&line, "\n", 1);
	start_line(report);
	put(report, line.data, line.len);
}

void report_defer(struct report *report)
{
	report->deferred = true;
}

int report_pending_fd(const struct report *report)
{
	return report->pending.len != 0 ? report->outlet.fd : -1;
}

bool report_full(const struct report *report)
{
	return report->pending.len >= REPORT_PENDING_MAX;
}

void report_pass_on(struct report *report)
{
	struct pollfd fd = {.fd = report->outlet.fd, .events = POLLOUT};
	if (fd.fd < 0)
		report->pending.len = 0;
	while (report->pending.len != 0 && poll(&fd, 1, 0) > 0) {
		size_t before = report->pending.len;
		write_once(report);
		if (report->pending.len == before)
			return;
	}
}

/* A line that is cut would be no JSON, and no end of what stands before it. */
void report_drop(struct report *report)
{
	struct buffer *pending = &report->pending;
	const uint8_t *end = pending->len != 0 ? memchr(pending->data, '\n', pending->len) : NULL;
	pending->len = end != NULL ? (size_t)(end - pending->data) + 1 : 0;
	report->output_open = end == NULL;
}

void report_settle(struct report *report, enum report_hurry hurry)
{
	report->deferred = false;
	report->hurried = report->hurried || hurry == REPORT_HURRIED;
	write_all(report);
}

void report_leave(struct report *report)
{
	start_line(report);
}

bool report_tells_apart(const struct report *report)
{
	return report->mode == REPORT_JSON;
}

void report_error(struct report *report, const struct error *err)
{
	cleanup_buffer struct buffer line = {0};
	if (report->mode == REPORT_JSON) {
		put_other_json(report, "error", error_kind_name(err->kind), err->message,
			strlen(err->message));
		return;
	}
	buffer_printf(&line, "layervm: %s: %s\n", error_kind_name(err->kind), err->message);
	start_line(report);
	put(report, line.data, line.len);
}

bool report_time(const struct report *report, size_t index, struct report_time *time)
{
	if (index >= report->count)
		return false;
	*time = report->stages[index].time;
	return true;
}
