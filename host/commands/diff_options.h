/* The flags of `layervm diff`, as one checked structure. */
#ifndef LAYERVM_COMMANDS_DIFF_OPTIONS_H
#define LAYERVM_COMMANDS_DIFF_OPTIONS_H

#include <stdbool.h>

#include "commands/argv.h"
#include "commands/flag_fields.h"
#include "commands/progress.h"

struct diff_options {
	bool help; /* only report is set besides */
	struct report *report;
	enum progress progress;
	bool quiet;

	char *paths[2]; /* A and B; "-" (standard input) is one of them at most */
	struct image_choice images[2];
	struct image_choice platform; /* of both, settled into images */
	bool verify;                  /* read all of both, though they are known */
	bool verbose;
	char *layer; /* the layer to write; "-": standard output; NULL: none */
};

/* For argv.h and the tests of --help. */
extern const struct argv_command diff_argv;

/* As export_options_parse and export_options_free. */
int diff_options_parse(
	int argc, char **argv, int report_fd, struct diff_options *options, struct error *err);
void diff_options_free(struct diff_options *options);
#define cleanup_diff_options __attribute__((cleanup(diff_options_free)))

#endif
