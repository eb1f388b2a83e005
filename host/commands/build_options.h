/*
 * `layervm build [SPEC.json|-] [flags]`: argv and the environment's SOURCE_DATE_EPOCH, as one
 * checked structure. Nothing after this knows argv, and nothing was started when it fails.
 */
#ifndef LAYERVM_COMMANDS_BUILD_OPTIONS_H
#define LAYERVM_COMMANDS_BUILD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "commands/guest_run.h"
#include "commands/session_job.h"
#include "image/image.h"
#include "spec/spec.h"
#include "support/error.h"
#include "support/report.h"
#include "vm/vm.h"

/* A name that the image gets. */
struct build_tag {
	char *name;
	char *tag; /* NULL: derived from the content */
};

struct build_options {
	bool help; /* -h: build_options_show_help and do nothing; only report is set besides */
	struct report *report;   /* as --progress and --quiet have it; never NULL */
	struct build_spec *spec; /* flags laid over it, and checked (spec_check) */
	struct build_tag *tags;  /* no two equal; the first is the spec's name and tag */
	size_t tag_count;        /* at least 1 */
	char *variant;           /* of the architecture, to choose the base by; NULL: any */
	char *output;            /* "-": standard output, which is no terminal; NULL, of a session
				    only: nothing is written */
	bool compression_given;  /* else by the output's name */
	enum image_compression compression;
	char *iidfile;       /* NULL: none; none of the three outputs has another's path */
	char *metadata_file; /* NULL: none */
	bool timings;        /* a line a stage in the end: where the time went */
	bool no_cache;       /* nothing is taken from the user's cache or put there */
	bool verify;         /* what is taken from there is read and compared with its digests */
	char *keep;          /* folder that the guest's disks are left in; NULL: not left */
	unsigned timeout;    /* seconds for the guest's run; 0: none */
	unsigned cpus;       /* of the guest; 0: vm_default_cpus */
	uint64_t log_limit;  /* bytes of the script's output; 0: no limit */
	enum vm_accel accel;
	enum guest_reader reader;
	bool debug_on_failure;     /* a shell on the terminal where the script fails */
	struct terminal *terminal; /* for that shell; set by who runs the build, and theirs */
	/* In the place of the spec's script; NULL: none. Theirs who run it. */
	const struct session_options *session;
	/* --source-date-epoch or SOURCE_DATE_EPOCH was given; the value is spec->created where not.
	 */
	bool has_source_date_epoch;
	int64_t source_date_epoch; /* seconds since 1970: no mtime in the new layer is later */
};

/* All defaults; without a report. */
struct build_options *build_options_new(void) __attribute__((returns_nonnull));

/*
 * Reads the flags, then the spec, lays the flags over it and checks the whole.
 * argv[0]: the subcommand's own name, passed over. report_fd: where the report goes, usually
 * STDERR_FILENO; whether it is a terminal decides on --progress auto.
 * *out: set in every case, for its report to show the error; freed by build_options_free.
 * Errors: ERROR_USAGE for flags, each named; those of spec_read and spec_check.
 * Uses getopt_long and so its global state.
 */
int build_options_parse(
	int argc, char **argv, int report_fd, struct build_options **out, struct error *err);

/*
 * Adds a name of -t: the first is the spec's name and tag, the others are further ones. Fails with
 * ERROR_SPEC where it is no reference; the message does not name the flag.
 */
int build_options_add_tag(struct build_options *options, const char *value, struct error *err);

/*
 * Checks the whole and fills in what the flags leave to others: names, compression, the time of
 * SOURCE_DATE_EPOCH. For build_options_parse, and for others who fill options.
 */
int build_options_settle(struct build_options *options, struct error *err);

/* Shows the text of `layervm build --help`, as argv_show_help. */
int build_options_show_help(struct report *report);

/*
 * All tags as "name:tag", NULL at the end, for image_write_options. derived: the tag for names
 * without one. The caller frees it with build_tags_free.
 */
char **build_tags(const struct build_options *options, const char *derived)
	__attribute__((returns_nonnull));
void build_tags_free(char **tags);

void build_options_free(struct build_options *options);
static inline void cleanup_build_options_fn(struct build_options **options)
{
	build_options_free(*options);
}
#define cleanup_build_options __attribute__((cleanup(cleanup_build_options_fn)))

#endif
