/* The flags of `layervm export`, as one checked structure. */
#ifndef LAYERVM_COMMANDS_EXPORT_OPTIONS_H
#define LAYERVM_COMMANDS_EXPORT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "commands/argv.h"
#include "commands/flag_fields.h"
#include "commands/progress.h"
#include "commands/tree_source.h"
#include "image/image.h"

struct compression_choice {
	bool given;
	enum image_compression compression;
};

struct mtime_choice {
	bool same; /* all entries get this time; else each keeps its own */
	int64_t seconds;
};

struct export_options {
	bool help; /* only report is set besides */
	struct report *report;
	enum progress progress;
	bool quiet;

	char *source; /* path of the image or disk; "-": standard input */
	struct image_choice image;
	struct guest_choice guest;
	char *root;
	bool verify; /* read all of the image, though it is known */

	bool list;    /* print the entries; output is NULL then */
	char *output; /* path, or "-": standard output, which is no terminal */
	char *name;   /* the output's name where --output does not say it */
	struct compression_choice compression;
	struct mtime_choice mtime;
};

/* For argv.h and the tests of --help. */
extern const struct argv_command export_argv;

/*
 * Reads the flags and settles where the output goes. argv[0] is passed over. report_fd: as for
 * progress_report. options: all zero; freed by export_options_free in every case, with its
 * report, which shows the error. Errors: ERROR_USAGE.
 */
int export_options_parse(
	int argc, char **argv, int report_fd, struct export_options *options, struct error *err);
void export_options_free(struct export_options *options);
#define cleanup_export_options __attribute__((cleanup(export_options_free)))

#endif
