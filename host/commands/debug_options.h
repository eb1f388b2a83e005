/* The flags of `layervm debug`, as one checked structure. */
#ifndef LAYERVM_COMMANDS_DEBUG_OPTIONS_H
#define LAYERVM_COMMANDS_DEBUG_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "commands/argv.h"
#include "commands/build_options.h"
#include "commands/flag_fields.h"
#include "commands/progress.h"
#include "commands/session_job.h"

/* What is looked into. */
enum debug_source {
	DEBUG_IMAGE, /* an image, or a virtual machine's disk */
	DEBUG_SPEC,  /* what a build would run its script on */
	DEBUG_KEPT,  /* the disks that a build has kept (kept_disks.h) */
};

/* A flag that is laid over the spec's extras. */
struct pending_field {
	const struct field_flag *flag;
	const char *value; /* in argv */
};

struct debug_options {
	bool help; /* only build->report is set besides */
	enum progress progress;
	bool quiet;

	char *path;
	enum debug_source source;
	struct image_choice image;
	struct session_options session;
	bool commit;
	uint32_t memory; /* MiB; 0: not given */
	uint32_t disk_size;
	struct pending_field *pending; /* in the order of argv, until they are parsed */
	size_t pending_count;
	size_t pending_capacity;

	/*
	 * The same in the words of a build, with the session in the script's place. Of a
	 * DEBUG_KEPT only report, cpus, timeout and accel are of use. Never NULL once parsed.
	 */
	struct build_options *build;
};

/* For argv.h and the tests of --help. */
extern const struct argv_command debug_argv;

/*
 * Reads the flags and looks at what path is; a spec is read and checked. That a shell has a
 * terminal is checked. argv[0] is passed over. report_fd: as for progress_report. options: all
 * zero; freed by debug_options_free in every case, with the report of its build, which shows the
 * error. Errors: ERROR_USAGE, and those of spec_read and spec_check.
 */
int debug_options_parse(
	int argc, char **argv, int report_fd, struct debug_options *options, struct error *err);
void debug_options_free(struct debug_options *options);
#define cleanup_debug_options __attribute__((cleanup(debug_options_free)))

#endif
