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

/* So much output is kept for a reader that is slower than who writes. */
#define REPORT_PENDING_MAX (256u << 10)

/* What a reader that has stopped reading gets, in milliseconds, once the run is to end. */
#define REPORT_PATIENCE_MS 2000

/*
 * mode: as above. fd: where to write, usually STDERR_FILENO. A fd that does not block, or that
 * blocks for long, loses nothing: what writes to the report waits, unless report_defer was called.
 * After a signal (interrupt.h) the wait has an end; after the second one there is none.
 */
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
 * Whether this is the first call with that topic, a name of the caller's that outlives the report:
 * for a line that is worth telling once.
 */
bool report_is_news(struct report *report, const char *topic);

/*
 * Output of the script, as bytes, in the order in which it came.
 * from_stderr: whether the script wrote it to its standard error. REPORT_JSON keeps a character
 * whole that comes in two pieces of a stream: its beginning waits for the next piece, or for the
 * next thing that is no output.
 */
void report_output(struct report *report, bool from_stderr, const void *data, size_t len);

/*
 * A line of what the user has asked to see: it is shown in quiet mode too, and never cut. text:
 * printable, or from outside: control characters but tabs become \xNN. type: for REPORT_JSON.
 */
void report_line(struct report *report, const char *type, const char *text);

/*
 * From here to report_settle nothing that writes to the report waits: what is not taken at once is
 * kept, and the caller's poll loop passes it on.
 */
void report_defer(struct report *report);

/* The descriptor at which to wait for POLLOUT; -1: nothing is kept. */
int report_pending_fd(const struct report *report);

/* Whether REPORT_PENDING_MAX bytes or more are kept, so that no more output should be made. */
bool report_full(const struct report *report);

/* Writes as much of what is kept as is taken at once. */
void report_pass_on(struct report *report);

/* Drops what is kept, but for the rest of a line that has begun. */
void report_drop(struct report *report);

/*
 * Writes what is kept, and ends report_defer. hurry: the run was ended, and nobody is to wait
 * longer than REPORT_PATIENCE_MS for a reader that does not read, here and from here on.
 */
enum report_hurry { REPORT_UNHURRIED, REPORT_HURRIED };
void report_settle(struct report *report, enum report_hurry hurry);

/* Leaves the terminal to others, who write to it after this: no stage stands on its last line. */
void report_leave(struct report *report);

/* Whether the two outputs are told apart; else they should come as one, in order. */
bool report_tells_apart(const struct report *report);

/* The error line: "layervm: KIND: message". Shown in every mode. */
struct error;
void report_error(struct report *report, const struct error *err);

/* Seconds since the report was made. */
double report_clock(const struct report *report);

/*
 * Seconds of processor time so far, user and system: of this program, all threads, and of the
 * programs that it waited for, but without what was left out (report_leave_out).
 */
double report_cpu(const struct report *report);

/* Where the time went: a stage, or what went on beside the stages. In seconds. */
struct report_time {
	const char *name;
	double begin;   /* report_clock's */
	double seconds; /* wall time from there on; 0: it goes on (report_done) */
	double cpu;     /* processor time (report_cpu) */
};

/*
 * Adds something that began and ended beside the stages, such as the guest. Nothing is shown. The
 * stage that goes on counts its processor time as well, unless that is left out.
 */
void report_beside(struct report *report, const struct report_time *time);

/* Leaves processor time of a program that was just waited for out of report_cpu, in seconds. */
void report_leave_out(struct report *report, double cpu);

/* What there was so far, in the order of its begin. index: from 0. Returns whether there is such a
 * one. */
bool report_time(const struct report *report, size_t index, struct report_time *time);

static inline void cleanup_report_fn(struct report **report)
{
	report_free(*report);
}
#define cleanup_report __attribute__((cleanup(cleanup_report_fn)))

#endif
