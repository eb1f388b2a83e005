/*
 * The one way to the user's terminal: stages, notes, warnings and the script's own output. All
 * goes to standard error, so that `-o -` keeps standard output clean.
 */
#ifndef LAYERVM_SUPPORT_REPORT_H
#define LAYERVM_SUPPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>

enum report_mode {
	REPORT_PLAIN, /* a line a stage */
	REPORT_TTY,   /* the current stage on the last line, in place */
	REPORT_JSON,  /* a JSON object a line */
	REPORT_QUIET, /* warnings and errors only */
};

struct report;

/* mode: as above. fd: where to write, usually STDERR_FILENO. */
struct report *report_new(enum report_mode mode, int fd);
void report_free(struct report *report);

/* Starts a stage, which ends the one before. name: a word such as "assemble". */
void report_stage(struct report *report, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Ends the last stage. */
void report_done(struct report *report);

/* A line for the user; a warning is shown in quiet mode too. */
void report_note(struct report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void report_warning(struct report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Output of the script, as bytes, in the order in which it came.
 * from_stderr: whether the script wrote it to its standard error.
 */
void report_output(struct report *report, bool from_stderr, const void *data, size_t len);

/* The error line: "layervm: KIND: message". Shown in every mode. */
struct error;
void report_error(struct report *report, const struct error *err);

/*
 * The stages so far, for --metadata-file and the benchmark.
 * index: from 0. Returns whether there is such a stage. seconds: wall time.
 */
bool report_stage_time(
	const struct report *report, size_t index, const char **name, double *seconds);

static inline void cleanup_report_fn(struct report **report)
{
	report_free(*report);
}
#define cleanup_report __attribute__((cleanup(cleanup_report_fn)))

#endif
