/* The flags of `layervm inspect`, as one checked structure. */
#ifndef LAYERVM_COMMANDS_INSPECT_OPTIONS_H
#define LAYERVM_COMMANDS_INSPECT_OPTIONS_H

#include <stdbool.h>

#include "commands/argv.h"
#include "commands/flag_fields.h"
#include "commands/progress.h"

enum inspect_format { INSPECT_TEXT, INSPECT_JSON };

struct inspect_options {
	bool help; /* only report is set besides */
	struct report *report;
	enum progress progress;
	bool quiet;

	char *source; /* path; "-": standard input */
	struct image_choice image;
	enum inspect_format format;
};

/* For argv.h and the tests of --help. */
extern const struct argv_command inspect_argv;

/* As export_options_parse and export_options_free. */
int inspect_options_parse(
	int argc, char **argv, int report_fd, struct inspect_options *options, struct error *err);
void inspect_options_free(struct inspect_options *options);
#define cleanup_inspect_options __attribute__((cleanup(inspect_options_free)))

#endif
